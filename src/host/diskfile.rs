//! A file that a user says is a disk: what it is, and whether it may be worked on.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::host::exec::Program;
use crate::host::imagefile::ImageFile;
use crate::host::qemu_img::qemu_img;
use crate::host::space;
use crate::host::taken::{self, Taken};

/// How a disk is written in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DiskFormat {
    /// Byte by byte.
    Raw,
    /// QEMU's own
    Qcow2,
}

impl DiskFormat {
    /// The word that QEMU knows.
    pub const fn name(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        }
    }
}

/// A disk in a file of the host; nobody else writes to it at the time of [`DiskFile::open`].
#[derive(Debug, Clone)]
pub struct DiskFile {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// What is read instead of it, which others cannot change.
    pub taken: Taken,
    /// Its format.
    pub format: DiskFormat,
    /// Size of the disk, in bytes.
    pub virtual_size: u64,
    /// Number of internal snapshots.
    pub snapshots: usize,
}

const IN_USE: &str = "is in use by another process";

/// What `qemu-img info` tells.
#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    snapshots: Vec<serde_json::Value>,
}

impl DiskFile {
    /// Looks at a file. Without `format`, one that begins as qcow2 does is that, else raw. An
    /// overlay is on files that the user names in `backing`, see [`Taken::disk`].
    ///
    /// # Errors
    /// Of kind usage: no such file, not a disk, encrypted by QEMU, in use by another process, or
    /// on a file that is not named.
    pub fn open(file: &Path, format: Option<DiskFormat>, backing: &[PathBuf]) -> Result<Self> {
        let shown = file.display();
        let path = taken::named(file)?;
        let format = match format {
            Some(format) => format,
            None => detect(&path)?,
        };
        let taken = Taken::disk(&path, format.name(), backing)
            .map_err(|error| refused(file, format, error))?;
        let info: Info = qemu_img(["info", "--output=json", "-f", format.name()])
            .on_foreign_file()
            .on_image(taken.path(), format.name())?
            .json()
            .map_err(|error| refused(file, format, error))?;
        // QEMU lets others read a raw disk that a machine writes to; opening it to write tells.
        if format == DiskFormat::Raw {
            let open = Program::new("qemu-io").args(["-f", "raw", "-c", "quit"]);
            if let Err(error) = open.arg(&path).run().map_err(|e| refused(file, format, e))
                && error.message().ends_with(IN_USE)
            {
                return Err(error);
            }
        }
        if info.encrypted {
            return Err(Error::usage(format!("{shown} is encrypted by QEMU")).hint(
                "`qemu-img convert` makes a disk without that; LUKS inside the disk is fine",
            ));
        }
        Ok(DiskFile {
            path,
            taken,
            format,
            virtual_size: info.virtual_size,
            snapshots: info.snapshots.len(),
        })
    }
}

fn detect(path: &Path) -> Result<DiskFormat> {
    let shown = path.display();
    let unreadable =
        |cause: std::io::Error| Error::usage(format!("{shown} cannot be read")).cause(cause);
    let data = std::fs::metadata(path).map_err(unreadable)?;
    if !data.is_file() {
        let what = match data.file_type() {
            kind if kind.is_dir() => "a directory",
            kind if kind.is_block_device() => "a block device",
            _ => "not a file",
        };
        return Err(
            Error::usage(format!("{shown} is {what}, not a disk in a file"))
                .hint("`qemu-img convert -O qcow2 FROM TO` copies a device into a file"),
        );
    }
    match ImageFile::of(path).map_err(unreadable)? {
        ImageFile::Raw => {}
        ImageFile::Qcow2 => return Ok(DiskFormat::Qcow2),
        other => {
            let what = other.called();
            let error = format!("{shown} is {what}, not a raw or qcow2 disk");
            return Err(Error::usage(error).hint(other.remedy()));
        }
    }
    if data.len() == 0 || data.len() % 512 != 0 {
        return Err(
            Error::usage(format!("{shown} is not a disk")).cause(format!(
                "{} bytes are no whole number of sectors",
                data.len()
            )),
        );
    }
    Ok(DiskFormat::Raw)
}

fn refused(file: &Path, format: DiskFormat, error: Error) -> Error {
    let full = error.hint_text() == Some(space::NEARLY_FULL);
    if full || matches!(error.kind(), Kind::Usage | Kind::Interrupted(_)) {
        return error;
    }
    let text = error.render();
    let shown = file.display();
    if text.contains("Failed to get") && text.contains("lock") {
        return Error::usage(format!("{shown} {IN_USE}"))
            .hint("stop the machine that runs from it, or the program that works on it");
    }
    Error::usage(format!(
        "{shown} cannot be opened as a {} disk",
        format.name()
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
            let error = detect(file(content).path()).unwrap_err();
            assert!(error.message().contains(message), "{error}");
            assert_eq!(error.kind().exit_code(), 2);
            if let Some(hint) = hint {
                assert!(error.hint_text().unwrap().contains(hint), "{error}");
            }
        }
        let error = detect(Path::new("/")).unwrap_err();
        assert!(error.message().contains("a directory"), "{error}");
    }

    #[test]
    fn raw_and_qcow2_are_told_apart() {
        assert_eq!(detect(file(&[0; 512]).path()).unwrap(), DiskFormat::Raw);
        assert_eq!(
            detect(file(b"QFI\xfb\0\0\0\x03").path()).unwrap(),
            DiskFormat::Qcow2
        );
    }
}
