//! The last steps to the file that the user wanted: format, size, name.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::{Image, Output};
use crate::error::{Context as _, Error, Result};
use crate::host::imagefile::ImageFile;
use crate::host::others;
use crate::host::outlet::Outlet;
use crate::host::qemu_img::{self, DiskFormat};
use crate::ui::{StageUi, printable};
use crate::units::Size;

/// Refuses what could not be written in the end, before anything is fetched.
pub(super) fn ready(image: &Image, output: &Output<'_>) -> Result<Outlet> {
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
        _ => Outlet::of(output.path).map_err(|error| {
            let causes = error.causes().iter();
            let unwritable = Error::stage(format!("{path} cannot be written"));
            let unwritable = causes.fold(unwritable, Error::cause);
            unwritable.hint("choose another file with -o FILE")
        }),
    }
}

/// Makes the wanted file of the unpacked `disk`, beside it; returns it and its virtual size.
pub(super) fn finish(
    image: &Image,
    output: &Output<'_>,
    disk: PathBuf,
    ui: &StageUi,
) -> Result<(PathBuf, Size)> {
    let (format, virtual_size) = inspect(image, &disk)?;
    if virtual_size > image.disk_size {
        return Err(
            Error::gate(format!("`{}` is not what the index says", image.name))
                .cause(format!(
                    "its disk has {virtual_size} bytes, not {}",
                    image.disk_size
                ))
                .hint("tell the repository's owner"),
        );
    }
    let size = output.size.map_or(virtual_size, Size::as_bytes);
    let result = if format == output.format {
        disk
    } else {
        let (format, wanted) = (format.as_str(), output.format.as_str());
        ui.step(format!("converting to {wanted}"));
        let converted = disk.with_file_name("converted");
        let words = ["-m", "4", "-W"];
        qemu_img::convert_alone((&disk, format), (&converted, wanted), &words)?.run()?;
        converted
    };
    if size > virtual_size {
        grow(&result, output.format, size)?;
    }
    Ok((result, Size::bytes(size)))
}

fn grow(path: &Path, format: DiskFormat, size: u64) -> Result<()> {
    match format {
        DiskFormat::Raw => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(size))
            .doing(|| format!("writing {}", path.display())),
        DiskFormat::Qcow2 => qemu_img::resize(path, Size::bytes(size)),
    }
}

/// The format of the disk, and its size in bytes. One that refers to other files of this host is
/// refused, whoever signed it.
fn inspect(image: &Image, disk: &Path) -> Result<(DiskFormat, u64)> {
    let doing = || format!("reading {}", disk.display());
    if image.format.as_deref() == Some("raw") {
        return Ok((DiskFormat::Raw, std::fs::metadata(disk).doing(doing)?.len()));
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
    let format = match format {
        "raw" => DiskFormat::Raw,
        "qcow2" => DiskFormat::Qcow2,
        other => {
            let name = &image.name;
            let message = format!("`{name}` has the format {other}, which pull does not take");
            return Err(
                Error::stage(message).hint("a repository has raw and qcow2 disks; tell its owner")
            );
        }
    };
    Ok((format, qemu_img::info(disk, format.as_str())?.virtual_size))
}
