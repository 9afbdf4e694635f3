//! A file that a user says is a disk: what it is, and whether it may be worked on.

use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Kind, Result};
use crate::host::imagefile::ImageFile;
use crate::host::opened;
use crate::host::outlet::{Folder, Outlet, Overwrite};
use crate::host::qemu_img::{DiskFormat, info, is_lock, is_used};
use crate::host::space;
use crate::host::taken::{self, PinnedFile};

/// A disk in a file of the host; nobody else writes to it at the time of [`DiskFile::open`].
#[derive(Debug, Clone)]
pub struct DiskFile {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    folder: Folder,
    /// What is read instead of it, which others cannot change.
    pub taken: PinnedFile,
    pub(crate) format: DiskFormat,
    /// Size of the disk, in bytes.
    pub virtual_size: u64,
    /// Number of internal snapshots.
    pub snapshots: usize,
}

impl DiskFile {
    /// Looks at a file. Without `format`, one that begins as qcow2 does is that, else raw. An
    /// overlay is on files that the user names in `backing`, see [`PinnedFile::disk`].
    ///
    /// # Errors
    /// Of kind usage: no such file, not a disk, encrypted by QEMU, in use by another process, or
    /// on a file that is not named.
    pub fn open(file: &Path, format: Option<DiskFormat>, backing: &[PathBuf]) -> Result<Self> {
        let shown = file.display();
        let path = taken::named(file)?;
        // What becomes of the names above it meanwhile: the result goes there.
        let folder = Folder::straight(path.parent().unwrap_or(&path))
            .doing(|| format!("reading {shown}"))?;
        let found = open(&path)?;
        let format = match format {
            Some(format) => format,
            None => detect(&path, &found)?,
        };
        unused(file, format, &found)?;
        let taken = PinnedFile::disk(&path, format.as_str(), backing)
            .map_err(|error| refused(file, format, error))?;
        let info =
            info(taken.path(), format.as_str()).map_err(|error| refused(file, format, error))?;
        unused(file, format, taken.read())?;
        if info.encrypted {
            return Err(Error::usage(format!("{shown} is encrypted by QEMU")).hint(
                "`qemu-img convert` makes a disk without that; LUKS inside the disk is fine",
            ));
        }
        Ok(DiskFile {
            path,
            folder,
            taken,
            format,
            virtual_size: info.virtual_size,
            snapshots: info.snapshots.len(),
        })
    }

    /// The place of the file that was read, for what is made of it, as long as that file has it.
    ///
    /// # Errors
    /// When nothing may be made in its directory.
    pub fn outlet(&self) -> Result<Outlet> {
        let name = self.path.file_name().unwrap_or_default();
        let was = self.taken.data().clone();
        self.folder.outlet(name, Overwrite::This(was))
    }
}

/// Opens a user's disk once, at a path without links: a file, and nothing that keeps the reader waiting.
///
/// # Errors
/// Of kind usage, when it is none, or cannot be read.
pub fn open(path: &Path) -> Result<File> {
    let shown = path.display();
    let unreadable =
        |cause: std::io::Error| Error::usage(format!("{shown} cannot be read")).cause(cause);
    let kind = path.symlink_metadata().map_err(unreadable)?.file_type();
    if !kind.is_file() {
        let what = match kind {
            kind if kind.is_dir() => "a directory",
            kind if kind.is_block_device() => "a block device",
            _ => "not a file",
        };
        return Err(
            Error::usage(format!("{shown} is {what}, not a disk in a file"))
                .hint("`qemu-img convert -O qcow2 FROM TO` copies a device into a file"),
        );
    }
    opened::open_straight(path).map_err(unreadable)
}

fn detect(path: &Path, file: &File) -> Result<DiskFormat> {
    let shown = path.display();
    let unreadable =
        |cause: std::io::Error| Error::usage(format!("{shown} cannot be read")).cause(cause);
    match ImageFile::of_open(file).map_err(unreadable)? {
        ImageFile::Raw => {}
        ImageFile::Qcow2 => return Ok(DiskFormat::Qcow2),
        other => {
            let what = other.called();
            let error = format!("{shown} is {what}, not a raw or qcow2 disk");
            return Err(Error::usage(error).hint(other.remedy()));
        }
    }
    let size = file.metadata().map_err(unreadable)?.len();
    if size == 0 || size % 512 != 0 {
        return Err(Error::usage(format!("{shown} is not a disk"))
            .cause(format!("{size} bytes are no whole number of sectors")));
    }
    Ok(DiskFormat::Raw)
}

/// Refuses a raw disk that a machine writes to: QEMU lets others read it.
fn unused(path: &Path, format: DiskFormat, file: &File) -> Result<()> {
    match format == DiskFormat::Raw && is_used(file)? {
        true => Err(in_use(path)),
        false => Ok(()),
    }
}

fn in_use(file: &Path) -> Error {
    Error::usage(format!("{} is in use by another process", file.display()))
        .hint("stop the machine that runs from it, or the program that works on it")
}

fn refused(file: &Path, format: DiskFormat, error: Error) -> Error {
    let full = error.hint_text() == Some(space::NEARLY_FULL);
    if full || matches!(error.kind(), Kind::Usage | Kind::Interrupted(_)) {
        return error;
    }
    let shown = file.display();
    if is_lock(&error) {
        return in_use(file);
    }
    Error::usage(format!(
        "{shown} cannot be opened as a {} disk",
        format.as_str()
    ))
    .cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn what_is_no_disk_is_named() {
        for (content, message, hint) in [
            (&b""[..], "is not a disk", None),
            (b"text\n", "is not a disk", None),
            (b"\x1f\x8b\x08....", "is a .gz file", Some("gunzip")),
            (b"\xfd7zXZ\0....", "is an .xz file", Some("disk unpack")),
            (b"KDMV....", "is a VMDK file", Some("qemu-img convert")),
        ] {
            let error = format_of(file(content).path()).unwrap_err();
            assert!(error.message().contains(message), "{error}");
            assert_eq!(error.kind().exit_code(), 2);
            if let Some(hint) = hint {
                assert!(error.hint_text().unwrap().contains(hint), "{error}");
            }
        }
        let error = open(Path::new("/")).unwrap_err();
        assert!(error.message().contains("a directory"), "{error}");
    }

    /// Whoever owns the directory puts a link to another one in its place while the disk is read.
    #[test]
    fn a_result_goes_where_the_disk_was_read_or_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let at = |name: &str| real.join(name);
        for name in ["vm", "hourly"] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("disk"), [0; 512]).unwrap();
        }
        let made = |name: &str| {
            std::fs::write(at(name), [1; 512]).unwrap();
            at(name)
        };
        let disk = DiskFile::open(&at("vm/disk"), None, &[]).unwrap();
        std::fs::rename(at("vm"), at("old")).unwrap();
        std::os::unix::fs::symlink("hourly", at("vm")).unwrap();
        let outlet = disk.outlet().unwrap();
        assert_eq!(outlet.real(), at("old/disk"));
        outlet.take(&made("made"), None).unwrap();
        assert_eq!(std::fs::read(at("hourly/disk")).unwrap(), [0; 512]);
        assert_eq!(std::fs::read(at("old/disk")).unwrap(), [1; 512]);
        // By now another one has its name, and then none.
        for gone in [false, true] {
            if gone {
                std::fs::remove_file(at("old/disk")).unwrap();
            }
            let again = disk.outlet().unwrap().take(&made("more"), None);
            let error = again.unwrap_err();
            assert!(error.message().contains("is not what was read"), "{error}");
        }
        assert_eq!(at("old").read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_is_written_to_while_it_is_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let [path, made] = ["disk", "made"].map(|name| real.join(name));
        std::fs::write(&path, [0; 512]).unwrap();
        std::fs::write(&made, [1; 512]).unwrap();
        let disk = DiskFile::open(&path, None, &[]).unwrap();
        std::fs::write(&path, [2; 1024]).unwrap();
        assert!(disk.outlet().unwrap().take(&made, None).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), [2; 1024]);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_disk_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().canonicalize().unwrap().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        for format in [None, Some(DiskFormat::Raw), Some(DiskFormat::Qcow2)] {
            let error = DiskFile::open(&pipe, format, &[]).unwrap_err();
            assert!(error.message().contains("not a file"), "{error}");
        }
    }

    fn format_of(path: &Path) -> Result<DiskFormat> {
        let path = path.canonicalize().unwrap();
        detect(&path, &open(&path)?)
    }

    #[test]
    fn raw_and_qcow2_are_told_apart() {
        assert_eq!(format_of(file(&[0; 512]).path()).unwrap(), DiskFormat::Raw);
        assert_eq!(
            format_of(file(b"QFI\xfb\0\0\0\x03").path()).unwrap(),
            DiskFormat::Qcow2
        );
    }
}
