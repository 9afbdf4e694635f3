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
fn qemu_img<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Program {
    Program::new("qemu-img").args(words).apart()
}

impl Program {
    /// Names a disk that it reads, with all that this is on.
    fn on_disk(self, disk: &Path, format: &str) -> Result<Self> {
        Ok(self.seeing_below(disk, format)?.arg(disk))
    }

    /// Names a disk of which it reads nothing but the file itself, and its parts.
    fn on_image(self, disk: &Path, format: &str) -> Result<Self> {
        Ok(self.seeing_parts(disk, format)?.arg(disk))
    }

    /// Names the disk that it makes.
    fn into_image(self, disk: &Path) -> Self {
        self.making(disk).arg(disk)
    }

    /// Shows it a disk, with all that this is on. What is not there it will miss itself.
    ///
    /// # Errors
    /// As [`Program::on_disk`].
    fn seeing_below(mut self, disk: &Path, format: &str) -> Result<Self> {
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

/// Makes the qcow2 `disk` of `size` bytes, or as an overlay of a file in a format, with clusters of `cluster` bytes. The
/// path of what is below is as the disk's directory sees it.
///
/// # Errors
/// When `qemu-img` fails.
pub fn create(
    disk: &Path,
    below: Option<(&Path, &str)>,
    cluster: Option<u64>,
    size: Option<u64>,
) -> Result<()> {
    let mut program = qemu_img(["create", "-q", "-f", "qcow2"]);
    if let Some((backing, format)) = below {
        let seen = disk.parent().unwrap_or(Path::new("/")).join(backing);
        program = program.args(["-F", format, "-b"]).arg(backing);
        program = program.seeing_below(&seen, format)?;
    }
    if let Some(cluster) = cluster {
        program = program.args(["-o", &format!("cluster_size={cluster}")]);
    }
    let program = program.into_image(disk);
    program.args(size.map(|size| size.to_string())).run()
}

/// Changes what the overlay `disk` in `format` is on, without a look at the content.
///
/// # Errors
/// When `qemu-img` fails.
pub fn rebase(disk: &Path, format: &str, below: (&Path, &str)) -> Result<()> {
    let (backing, of) = below;
    let program = qemu_img(["rebase", "-u", "-f", format, "-F", of, "-b"]);
    let program = program.seeing(backing).arg(backing);
    program.changing(disk).arg(disk).run()
}

/// The call that writes `from`, a file and its format, as `to`: with all that it is on.
///
/// # Errors
/// When one of those cannot be read, keeps its data elsewhere, or names what is no file.
pub fn convert(from: (&Path, &str), to: (&Path, &str), words: &[&str]) -> Result<Program> {
    let program = conversion(from.1, to.1, words).on_disk(from.0, from.1)?;
    Ok(into(program, to.0))
}

/// As [`convert`], of a disk that is on no other: nothing else is shown to the program.
///
/// # Errors
/// When it cannot be read.
pub fn convert_alone(from: (&Path, &str), to: (&Path, &str), words: &[&str]) -> Result<Program> {
    let program = conversion(from.1, to.1, words).on_image(from.0, from.1)?;
    Ok(into(program, to.0))
}

fn conversion(from: &str, to: &str, words: &[&str]) -> Program {
    let program = qemu_img(["convert", "-f", from, "-O", to]);
    program.args(words).arg("--")
}

fn into(program: Program, to: &Path) -> Program {
    program
        .into_image(to)
        .leaving_room(to.parent().unwrap_or(to))
        .hint("`imgforge doctor` says whether qemu-img is usable here")
}

/// Compares what a guest sees of two disks, the first with all that it is on; `words` as of the command.
///
/// # Errors
/// When they differ, or one cannot be read.
pub fn compare(disk: (&Path, &str), image: (&Path, &str), words: &[&str]) -> Result<()> {
    let program = qemu_img(["compare", "-q", "-f", disk.1, "-F", image.1]);
    let program = program.args(words).on_disk(disk.0, disk.1)?;
    program.on_image(image.0, image.1)?.run()
}

/// Checks the tables of an image; a damaged cluster passes.
///
/// # Errors
/// When they are damaged.
pub fn check(image: &Path, format: &str) -> Result<()> {
    let program = qemu_img(["check", "-q", "-f", format]);
    program.on_image(image, format)?.run()
}

/// A part of a disk, as `qemu-img map --output=json` has it.
#[derive(Debug, Clone, Deserialize)]
pub struct Stretch {
    /// Its first byte on the disk.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Which file it is in: 0 is the disk's own, 1 the one below it.
    pub depth: usize,
    /// Whether it reads as zeroes.
    pub zero: bool,
    /// Whether there is something to read.
    pub data: bool,
    /// Its first byte in that file, where its bytes lie there as they are.
    pub offset: Option<u64>,
}

/// Where the bytes of a disk are, over its whole chain of backing files, in order.
///
/// # Errors
/// When `qemu-img` cannot read the disk.
pub fn map(disk: &Path, format: &str) -> Result<Vec<Stretch>> {
    qemu_img(["map", "--output=json", "-f", format])
        .on_disk(disk, format)?
        .json()
        .doing(|| format!("measuring {}", disk.display()))
}

/// The bytes of a disk that hold data, over its whole chain of backing files: what neither is a
/// hole nor reads as zero without being looked at.
///
/// # Errors
/// When `qemu-img` cannot read the disk.
pub fn allocated(disk: &Path, format: &str) -> Result<u64> {
    let stretches = map(disk, format)?;
    let data = stretches.iter().filter(|one| one.data && !one.zero);
    Ok(data.map(|one| one.length).sum())
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
            } else if name.ends_with(".rs")
                && !name.ends_with("tests.rs")
                && !name.contains("/tests/")
            {
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
        let below = (&*backing, "raw");
        create(&at("two/disk"), Some(below), Some(CLUSTER), None).unwrap();
        let below = (Path::new("../two/disk"), "qcow2");
        create(&at("three/disk"), Some(below), None, None).unwrap();
        resize(&at("three/disk"), Size::mib(2)).unwrap();
        let out = at("out.raw");
        let (disk, raw) = (at("three/disk"), (&*out, "raw"));
        let copy = convert((&disk, "qcow2"), raw, &[]).unwrap();
        copy.run().unwrap();
        compare((&disk, "qcow2"), raw, &[]).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes[..1 << 20].iter().all(|byte| *byte == 7) && bytes.len() == 2 << 20);
        let error = check(&at("none"), "qcow2").unwrap_err();
        assert!(error.render().contains("none"), "{error}");
    }
}
