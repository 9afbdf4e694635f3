//! The last steps to the file that the user wanted: format, size, name.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Format, Image, Output, Session};
use crate::error::{Context as _, Error, Result};
use crate::host::durable;
use crate::host::exec::Program;
use crate::host::imagefile::ImageFile;
use crate::host::others;
use crate::store::ledger::{Item, Record};
use crate::ui::{StageUi, printable};
use crate::units::Size;

/// A file beside the final one, in the ledger. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    _record: Record,
}

impl Scratch {
    /// Makes an empty file beside `target`.
    pub(super) fn beside(session: &Session<'_>, target: &Path) -> Result<Self> {
        let doing = || format!("writing {}", target.display());
        let target = std::path::absolute(target).doing(doing)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = target.with_file_name(format!(".{name}.{}", &id[..8]));
        let record = session
            .ledger
            .record(&Item::Scratch { path: path.clone() })?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|cause| {
                let error = Error::stage(format!("{} cannot be written", target.display()));
                error.cause(cause).hint("choose another file with -o FILE")
            })?;
        Ok(Scratch {
            path,
            _record: record,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, in place of an earlier one.
    fn appear(self, target: &Path) -> Result<()> {
        let doing = || format!("writing {}", target.display());
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .doing(doing)?;
        std::fs::rename(&self.path, target).doing(doing)?;
        let parent = target.parent().filter(|dir| !dir.as_os_str().is_empty());
        durable::sync_dir(parent.unwrap_or(Path::new("."))).doing(doing)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Not there any more when it has its name.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Refuses what could not be written in the end, before anything is fetched.
pub(super) fn ready(image: &Image, output: &Output<'_>) -> Result<()> {
    let path = output.path.display();
    if output.path.is_dir() || output.path.file_name().is_none() {
        return Err(Error::usage(format!("{path} is not the name of a file"))
            .hint(format!("write -o {path}/{}.raw", image.name)));
    }
    if output.path.exists() && !output.path.is_file() {
        return Err(Error::usage(format!("{path} is not a file"))
            .hint("pull to a file, then copy it: qemu-img convert -n -O raw FILE DEVICE"));
    }
    match output.size {
        Some(size) if size.as_bytes() < image.disk_size => Err(Error::usage(format!(
            "`{}` has a disk of {}, which cannot become {size}",
            image.name,
            Size::bytes(image.disk_size)
        ))
        .hint("a disk never shrinks: choose a larger --size")),
        _ => Ok(()),
    }
}

/// Makes the wanted file of the unpacked disk; returns its virtual size.
pub(super) fn finish(
    session: &Session<'_>,
    image: &Image,
    output: &Output<'_>,
    disk: Scratch,
    ui: &StageUi,
) -> Result<Size> {
    let found = inspect(image, disk.path())?;
    if found.virtual_size > image.disk_size {
        return Err(
            Error::gate(format!("`{}` is not what the index says", image.name))
                .cause(format!(
                    "its disk has {} bytes, not {}",
                    found.virtual_size, image.disk_size
                ))
                .hint("tell the repository's owner"),
        );
    }
    let size = output.size.map_or(found.virtual_size, Size::as_bytes);
    let wanted = output.format.name();
    let result = if found.format == wanted {
        disk
    } else {
        ui.step(format!("converting to {wanted}"));
        let converted = Scratch::beside(session, output.path)?;
        Program::new("qemu-img")
            .args([
                "convert",
                "-f",
                &found.format,
                "-O",
                wanted,
                "-m",
                "4",
                "-W",
            ])
            .args([disk.path(), converted.path()])
            .hint("`imgforge doctor` says whether qemu-img is usable here")
            .run()?;
        converted
    };
    if size > found.virtual_size {
        grow(result.path(), output.format, size)?;
    }
    result.appear(output.path)?;
    Ok(Size::bytes(size))
}

fn grow(path: &Path, format: Format, size: u64) -> Result<()> {
    match format {
        Format::Raw => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(size))
            .doing(|| format!("writing {}", path.display())),
        Format::Qcow2 => Program::new("qemu-img")
            .args(["resize", "-q", "-f", "qcow2"])
            .arg(path)
            .arg(size.to_string())
            .run(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
}

/// What the disk is. One that refers to other files of this host is refused, whoever signed it.
fn inspect(image: &Image, disk: &Path) -> Result<Info> {
    let doing = || format!("reading {}", disk.display());
    if image.format.as_deref() == Some("raw") {
        let size = std::fs::metadata(disk).doing(doing)?.len();
        return Ok(Info {
            format: "raw".into(),
            virtual_size: size,
        });
    }
    let kind = ImageFile::of(disk).doing(doing)?;
    let format = image.format.as_deref().or(kind.qemu()).unwrap_or("raw");
    if let Some(other) = others::named_by(disk, format)? {
        return Err(Error::gate(format!(
            "`{}` refers to another file, {}, and is refused",
            image.name,
            printable(other.name())
        ))
        .hint("tell the repository's owner"));
    }
    let info = Program::new("qemu-img")
        .args(["info", "--output=json", "-f", format])
        .on_foreign_file();
    let info: Info = info.arg(disk).json()?;
    if matches!(info.format.as_str(), "raw" | "qcow2") {
        return Ok(info);
    }
    let message = format!(
        "`{}` has the format {}, which pull does not take",
        image.name, info.format
    );
    Err(Error::stage(message).hint("a repository has raw and qcow2 disks; tell its owner"))
}
