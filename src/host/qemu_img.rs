//! Disks by `qemu-img`: the one door to it.
//!
//! What it reads was written by others: by guests' QEMU, by whoever made an image that is pulled or
//! imported. Root's sees the disks that it is called for, and no more of this host.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use super::exec::Program;
use super::{interrupt, others, vmdk};
use crate::error::{Context as _, Error, Result};
use crate::units::Size;

/// QEMU's usual cluster, in bytes.
pub const CLUSTER: u64 = 64 << 10;

/// How a disk is written in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DiskFormat {
    /// A sparse file of the disk's bytes
    #[default]
    Raw,
    /// QEMU's own format
    Qcow2,
}

impl DiskFormat {
    /// As QEMU calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        }
    }
}

/// What `qemu-img info` says of a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// Size of the disk, in bytes.
    pub virtual_size: u64,
    /// The file below an overlay.
    pub backing_filename: Option<String>,
    /// The format that it is said to have.
    pub backing_filename_format: Option<String>,
    /// Whether QEMU's own encryption hides the content.
    #[serde(default)]
    pub encrypted: bool,
    /// Internal snapshots.
    #[serde(default)]
    pub snapshots: Vec<serde_json::Value>,
    format_specific: Option<serde_json::Value>,
}

impl Info {
    /// The file that has the data instead.
    pub fn data_file(&self) -> Option<&str> {
        let specific = self.format_specific.as_ref()?;
        specific.pointer("/data/data-file")?.as_str()
    }
}

/// Asks what an image of others is: nothing but the file, and its parts, is read for that.
///
/// # Errors
/// When it is none of this format, or damaged.
pub fn info(image: &Path, format: &str) -> Result<Info> {
    let info = qemu_img(["info", "--output=json", "-f", format]).on_foreign_file();
    info.on_image(image, format)?.json()
}

/// A call of `qemu-img` with these words, to which the files are added.
pub fn qemu_img<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Program {
    Program::new("qemu-img").args(words).apart()
}

impl Program {
    /// Names a disk that it reads, with all that this is on.
    ///
    /// # Errors
    /// When one of those cannot be read, keeps its data elsewhere, or names what is no file.
    pub fn on_disk(self, disk: &Path, format: &str) -> Result<Self> {
        Ok(self.seeing_below(disk, format)?.arg(disk))
    }

    /// Names a disk of which it reads nothing but the file itself, and its parts.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn on_image(self, disk: &Path, format: &str) -> Result<Self> {
        Ok(self.seeing_parts(disk, format)?.arg(disk))
    }

    /// Names the disk that it makes.
    #[must_use]
    pub fn into_image(self, disk: &Path) -> Self {
        self.making(disk).arg(disk)
    }

    /// Shows it a disk, with all that this is on. What is not there it will miss itself.
    ///
    /// # Errors
    /// As [`Program::on_disk`].
    pub fn seeing_below(mut self, disk: &Path, format: &str) -> Result<Self> {
        if !disk.exists() {
            return Ok(self);
        }
        for (layer, format) in others::layers(disk, format)? {
            self = self.seeing_parts(&layer, &format)?;
        }
        Ok(self)
    }

    fn seeing_parts(mut self, disk: &Path, format: &str) -> Result<Self> {
        self = self.seeing(disk);
        if format == "vmdk" && disk.exists() {
            let parts = vmdk::parts(disk)?;
            self = parts.iter().fold(self, |program, part| {
                program.seeing(disk.with_file_name(part))
            });
        }
        Ok(self)
    }
}

/// How much is done, in percent, as a progress line says: `    (42.17/100%)`.
pub fn percent(line: &str) -> Option<u64> {
    let number = line.trim().strip_prefix('(')?.strip_suffix("/100%)")?;
    number.parse::<f64>().ok().map(|percent| percent as u64)
}

/// Makes `dir/name` as a qcow2 overlay of `backing`, a path as `dir` sees it.
///
/// # Errors
/// When `qemu-img` fails.
pub fn overlay(dir: &Path, backing: &Path, name: &str, cluster: u64) -> Result<()> {
    overlay_of(dir, backing, "qcow2", name, cluster)
}

/// As [`overlay`], of a backing file in this format.
///
/// # Errors
/// When `qemu-img` fails.
pub fn overlay_of(
    dir: &Path,
    backing: &Path,
    format: &str,
    name: &str,
    cluster: u64,
) -> Result<()> {
    qemu_img(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
        .arg(backing)
        .args(["-o", &format!("cluster_size={cluster}")])
        .seeing_below(&dir.join(backing), format)?
        .into_image(&dir.join(name))
        .run()
}

/// Gives the qcow2 `disk` another virtual size.
///
/// # Errors
/// When `qemu-img` fails, as for a smaller one.
pub fn resize(disk: &Path, size: Size) -> Result<()> {
    qemu_img(["resize", "-q", "-f", "qcow2"])
        .on_disk(disk, "qcow2")?
        .changing(disk)
        .arg(size.as_bytes().to_string())
        .run()
}

/// Whether QEMU works on a raw disk, or relies on it that nobody does, which opening it to write tells:
/// of the file that is open, as its name may mean another one.
///
/// # Errors
/// When imgforge is interrupted.
pub fn is_used(file: &File) -> Result<bool> {
    let doing = || "opening a disk again".to_owned();
    let open = Program::new("qemu-io").args(["-f", "raw", "-c", "quit", "/dev/stdin"]);
    let opened = open.stdin(file.try_clone().doing(doing)?).run();
    interrupt::check()?;
    Ok(opened.is_err_and(|error| is_lock(&error)))
}

/// Whether QEMU failed as another one has a lock.
pub fn is_lock(error: &Error) -> bool {
    let text = error.render();
    text.contains("Failed to get") && text.contains("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources, without their tests.
    fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                sources(&path, found);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let own = text.split("#[cfg(test)]").next().unwrap();
                found.push((name, own.to_owned()));
            }
        }
    }

    #[test]
    fn there_is_one_door() {
        let mut all = vec![];
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        let call = format!("new({:?})", "qemu-img");
        let callers: Vec<_> = all
            .iter()
            .filter(|(_, text)| text.contains(&call))
            .collect();
        assert!(
            all.len() > 100 && callers.len() == 1,
            "{:?}",
            callers.iter().map(|c| &c.0).collect::<Vec<_>>()
        );
    }

    /// What has a name, a place and a format of its own, as root and as anybody.
    #[test]
    fn disks_are_made_read_and_changed_wherever_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["one", "two", "three"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink("one", at("link")).unwrap();
        let base = at("one/a disk, which=odd.raw");
        std::fs::write(&base, vec![7; 1 << 20]).unwrap();
        let name = base.file_name().unwrap();
        let backing = Path::new("../link").join(name);
        overlay_of(&at("two"), &backing, "raw", "disk", CLUSTER).unwrap();
        overlay(&at("three"), Path::new("../two/disk"), "disk", CLUSTER).unwrap();
        resize(&at("three/disk"), Size::mib(2)).unwrap();
        let out = at("out.raw");
        let convert = qemu_img(["convert", "-f", "qcow2", "-O", "raw"]);
        let convert = convert.on_disk(&at("three/disk"), "qcow2").unwrap();
        convert.into_image(&out).run().unwrap();
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes[..1 << 20].iter().all(|byte| *byte == 7) && bytes.len() == 2 << 20);
        let error = qemu_img(["check", "-f", "qcow2"]).on_disk(&at("none"), "qcow2");
        let error = error.unwrap().run().unwrap_err();
        assert!(error.render().contains("none"), "{error}");
    }
}
