//! Other files that a disk names: QEMU opens them together with the disk, whoever wrote their names.
//!
//! Who gets a disk from somebody else gets the names with it, and they are of this host: its other
//! disks, its passwords. So there is one rule for everything that reads disks of users: a backing
//! file is read only where the user names it, too; a file with the data, QEMU's `json:` and its
//! protocols never are.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::exec::quote;
use super::opened;
use super::qemu_img::info;
use super::vmdk::{Parts, parts_in_place};
use crate::error::{Context as _, Error, Result};

/// What a disk names besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// The file below an overlay, and the format that it is said to have.
    Backing(String, Option<String>),
    /// Where its data is.
    Data(String),
}

impl Other {
    /// The name, as the disk has it.
    pub fn name(&self) -> &str {
        let (Other::Backing(name, _) | Other::Data(name)) = self;
        name
    }
}

/// Whether anything that is not known is opened with a disk: nothing but it is read for that.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn named_by(disk: &Path, format: &str) -> Result<Option<Other>> {
    let doing = || format!("reading {}", disk.display());
    if format == "raw" {
        return Ok(None);
    }
    if hidden_data(disk).doing(doing)? {
        return Ok(Some(Other::Data("which it names".into())));
    }
    let info = info(disk, format)?;
    if let Some(name) = info.data_file() {
        return Ok(Some(Other::Data(name.into())));
    }
    let backing = info.backing_filename;
    Ok(backing.map(|name| Other::Backing(name, info.backing_filename_format)))
}

/// Data elsewhere, of which some versions of `qemu-img info` open the place: the flag of a qcow2,
/// and a VMDK without a size, which is a description in another file's clothes.
fn hidden_data(disk: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    opened::open(disk)?.take(80).read_to_end(&mut head)?;
    let flags = head.get(72..80).map_or(0, |bytes| bytes[7]);
    let newer = head.starts_with(b"QFI\xfb\0\0\0") && head.get(7).is_some_and(|byte| *byte > 2);
    let described = head.starts_with(b"KDMV") && head.get(12..20) == Some(&[0; 8]);
    Ok((newer && flags & 4 != 0) || described)
}

/// One of the files that a disk consists of.
#[derive(Debug)]
pub struct Layer {
    /// As QEMU finds it.
    pub path: PathBuf,
    /// The same without links, when it was looked at.
    pub real: PathBuf,
    /// QEMU's word for its format.
    pub format: String,
}

/// Makes sure that QEMU reads no file for a user's disk but itself and those in `backing`, which are
/// paths without links; what it reads, the disk first.
///
/// # Errors
/// Of kind usage, when the disk names another one, or one of `backing` is none of its files.
pub fn check(disk: &Path, format: &str, backing: &[PathBuf]) -> Result<Vec<Layer>> {
    let mut used = vec![false; backing.len()];
    let mut layers = vec![Layer {
        path: disk.to_owned(),
        real: disk.to_owned(),
        format: format.to_owned(),
    }];
    loop {
        let Layer {
            path: at, format, ..
        } = layers.last().expect("the disk itself is there");
        parts_in_place(at, format, Parts::OfItsName)?;
        let (name, below) = match named_by(at, format)? {
            None => break,
            Some(Other::Backing(name, below)) => (name, below),
            Some(Other::Data(name)) => return Err(data_elsewhere(at, &name)),
        };
        let (path, real) = backing_of(at, &name)?;
        match backing.iter().position(|one| *one == real) {
            Some(index) if !used[index] => used[index] = true,
            Some(_) => return Err(foreign(at, "which is below itself")),
            None => {
                let shown = quote(&real.to_string_lossy());
                return Err(Error::usage(format!(
                    "{} is an overlay of another file, {}, which was not named",
                    at.display(),
                    crate::ui::printable(&name)
                ))
                .cause("who wrote the disk chose that file of this host")
                .hint(format!(
                    "if the disk is your own and belongs on it: --backing {shown}"
                )));
            }
        }
        let format = known(at, &name, below.as_deref())?;
        layers.push(Layer { path, real, format });
    }
    match used.iter().position(|used| !used) {
        Some(index) => Err(Error::usage(format!(
            "{} is not below {}",
            backing[index].display(),
            disk.display()
        ))
        .hint("leave out --backing, or name the overlay that is on it")),
        None => Ok(layers),
    }
}

/// As [`check`], of a disk that imgforge has unpacked into a directory of its own.
///
/// # Errors
/// When the disk names another file, unless that is a part of it which came with it.
pub fn check_unpacked(disk: &Path, format: &str) -> Result<()> {
    parts_in_place(disk, format, Parts::Siblings)?;
    match named_by(disk, format)? {
        Some(other) => Err(foreign(disk, other.name())
            .hint("unpack it and work on the disk itself, if you trust it")),
        None => Ok(()),
    }
}

/// A disk and those below it as QEMU opens them, the disk first, each with its format.
///
/// # Errors
/// When one cannot be read, keeps its data elsewhere, or names what is no file or has no format.
pub fn layers(disk: &Path, format: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut layers = vec![(disk.to_owned(), format.to_owned())];
    loop {
        let (at, format) = layers.last().expect("the disk itself is there");
        let next = match named_by(at, format)? {
            None => return Ok(layers),
            Some(Other::Data(name)) => return Err(data_elsewhere(at, &name)),
            Some(Other::Backing(name, below)) => {
                let (path, _) = backing_of(at, &name)?;
                (path, known(at, &name, below.as_deref())?)
            }
        };
        if layers.contains(&next) {
            return Err(foreign(at, "which is below itself"));
        }
        layers.push(next);
    }
}

fn data_elsewhere(disk: &Path, name: &str) -> Error {
    Error::usage(format!(
        "{} keeps its data in another file, {}, and is refused",
        disk.display(),
        crate::ui::printable(name)
    ))
    .hint("if you trust it: `qemu-img convert -O qcow2 IMAGE NEW` makes one file of both")
}

/// The path of a backing file as QEMU finds it, and without links.
fn backing_of(overlay: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    // As QEMU tells protocols from paths.
    let before = name.split('/').next().unwrap_or_default();
    if before.contains(':') {
        return Err(foreign(overlay, name).hint(
            "QEMU's protocols and `json:` are never followed: `qemu-img convert -O qcow2 IMAGE NEW` \
             makes one file of it, if you trust it",
        ));
    }
    let path = overlay.parent().unwrap_or(Path::new("/")).join(name);
    match path.canonicalize() {
        Ok(real) => Ok((path, real)),
        Err(cause) => Err(Error::usage(format!(
            "{} is an overlay of {}, which cannot be read",
            overlay.display(),
            crate::ui::printable(name)
        ))
        .cause(cause)
        .hint("`qemu-img rebase -u -F FORMAT -b BASE OVERLAY` tells it where that is")),
    }
}

/// What a backing file is, where the overlay says it: by its bytes a guest could decide.
fn known(overlay: &Path, name: &str, format: Option<&str>) -> Result<String> {
    let known = [
        "raw",
        "qcow2",
        "qed",
        "vmdk",
        "vdi",
        "vpc",
        "vhdx",
        "parallels",
    ];
    match format {
        Some(format) if known.contains(&format) => Ok(format.to_owned()),
        _ => Err(Error::usage(format!(
            "{} does not say which format {} has",
            overlay.display(),
            crate::ui::printable(name)
        ))
        .hint("`qemu-img rebase -u -F FORMAT -b BASE OVERLAY` writes it down")),
    }
}

pub(super) fn foreign(disk: &Path, other: &str) -> Error {
    Error::usage(format!(
        "{} refers to another file, {}, and is refused",
        disk.display(),
        crate::ui::printable(other)
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::exec::Program;

    pub(in crate::host) fn create(
        dir: &Path,
        name: &str,
        format: &str,
        options: &[&str],
    ) -> PathBuf {
        let path = dir.join(name);
        let create = Program::new("qemu-img").args(["create", "-q", "-u", "-f", format]);
        create.args(options).arg(&path).arg("1M").run().unwrap();
        path
    }

    #[test]
    fn a_chain_is_followed_as_far_as_the_user_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = &dir.path().canonicalize().unwrap();
        let base = create(dir, "base.raw", "raw", &[]);
        let middle = create(dir, "middle", "qcow2", &["-F", "raw", "-b", "base.raw"]);
        let top = create(dir, "top", "qcow2", &["-F", "qcow2", "-b", "middle"]);
        let both = [middle.clone(), base.clone()];
        check(&top, "qcow2", &both).unwrap();
        check(&middle, "qcow2", &both[1..]).unwrap();
        check(&base, "raw", &[]).unwrap();
        let said = |disk: &Path, named: &[PathBuf]| check(disk, "qcow2", named).unwrap_err();
        for (disk, named, next) in [(&top, &[][..], &middle), (&top, &both[..1], &base)] {
            let error = said(disk, named);
            assert!(error.message().contains("was not named"), "{error}");
            let wanted = format!("--backing {}", next.display());
            assert!(error.hint_text().unwrap().contains(&wanted), "{error}");
            assert_eq!(error.kind().exit_code(), 2);
        }
        let error = said(&middle, &both);
        assert!(error.message().contains("is not below"), "{error}");
        // A link beside it leads anywhere, and is named where it leads.
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
        let linked = create(dir, "linked", "qcow2", &["-F", "raw", "-b", "link"]);
        let hint = said(&linked, &[]).render();
        assert!(hint.contains("--backing /etc/passwd"), "{hint}");
        let unsaid = create(dir, "unsaid", "qcow2", &["-F", "raw", "-b", "base.raw"]);
        let rebase =
            Program::new("qemu-img").args(["rebase", "-u", "-f", "qcow2", "-b", "base.raw"]);
        if rebase.args(["-F", ""]).arg(&unsaid).run().is_ok() {
            assert!(check(&unsaid, "qcow2", &both[1..]).is_err());
        }
    }

    #[test]
    fn protocols_and_data_elsewhere_are_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let base = create(dir, "base", "raw", &[]);
        for name in [
            "nbd:127.0.0.1:9",
            "nbd://127.0.0.1:9/x",
            "http://127.0.0.1:9/x",
            "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}",
            "file:base",
            "fat:/etc",
        ] {
            let disk = create(dir, "disk", "qcow2", &["-F", "raw", "-b", name]);
            let error = check(&disk, "qcow2", std::slice::from_ref(&base)).unwrap_err();
            assert!(
                error.message().contains("refers to another file"),
                "{error}"
            );
            assert!(error.hint_text().unwrap().contains("never"), "{error}");
            assert!(check_unpacked(&disk, "qcow2").is_err());
        }
        let options = format!("data_file={}", base.display());
        let disk = create(dir, "data", "qcow2", &["-o", &options]);
        assert!(matches!(
            named_by(&disk, "qcow2").unwrap(),
            Some(Other::Data(_))
        ));
        let error = check(&disk, "qcow2", &[base]).unwrap_err();
        assert!(error.message().contains("keeps its data"), "{error}");
    }
}
