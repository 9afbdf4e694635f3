//! import: an existing disk image as the base.
//!
//! An image of others is a file to distrust: it is converted, never used in place, and one that
//! refers to other files of the host is refused.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::imagefile::ImageFile;
use crate::host::qemu_img::{DiskFormat, info, resize};
use crate::host::{opened, others, sparse, temporary};
use crate::pack::read::streams;
use crate::stage::install::{BaseDisk, BaseFacts, to_qcow2};
use crate::store::media::Media;
use crate::ui::{StageUi, printable};
use crate::units::Size;

/// What decoding xz may use; `xz -9` needs 65 MiB.
const MEMORY: Size = Size::mib(512);

/// Everything that an import depends on.
#[derive(Debug)]
pub struct Input<'a> {
    /// An absolute path, or a URL.
    pub image: &'a str,
    /// SHA-256 of the file as it is, 64 hex digits; needed for a URL.
    pub sha256: Option<&'a str>,
    /// Whether the disk is known to be raw, and not packed; else it is probed.
    pub raw: bool,
    /// Fetches and verifies it.
    pub media: Media<'a>,
    /// Virtual size of the disk to make; never less than the image's own.
    pub size: Size,
    /// Private scratch directory on the store's file system.
    pub scratch: &'a Path,
    /// The qcow2 file to make.
    pub disk: &'a Path,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// Fetches, verifies, unpacks and converts the image.
///
/// # Errors
/// When it is missing, has another digest, is no disk image, refers to other files, or is larger
/// than the machine's disk.
pub fn run(input: &Input<'_>) -> Result<BaseDisk> {
    let file = input.media.file(input.image, input.sha256)?;
    let plain = match input.raw {
        true => file.path().to_owned(),
        false => unpack(input, file.path())?,
    };
    let (format, size) = inspect(&plain, input)?;
    if size > input.size {
        return Err(Error::usage(format!(
            "the image {} has a disk of {size}, the machine's has {}",
            input.image, input.size
        ))
        .hint(format!(
            "write `machine: {{disk: {size}}}` or more; a disk never shrinks"
        )));
    }
    input.ui.step("converting the image");
    to_qcow2(&plain, format.as_str(), input.disk)?;
    if size < input.size {
        resize(input.disk, input.size)?;
    }
    Ok(BaseDisk {
        disk: input.disk.to_owned(),
        size: input.size,
        facts: BaseFacts {
            osinfo: None,
            product: None,
            expand: None,
            sources: None,
            fetched: vec![],
        },
    })
}

/// Unpacks what is compressed, and copies what others could change while it is looked at; what is
/// neither is used where it is.
fn unpack(input: &Input<'_>, path: &Path) -> Result<PathBuf> {
    let doing = || format!("unpacking {}", input.image);
    let file = opened::open(path).doing(doing)?;
    let kind = ImageFile::of_open(&file).doing(doing)?;
    let to = input.scratch.join("image");
    if !kind.is_compressed() {
        let path = path.canonicalize().doing(doing)?;
        if temporary::is_ours(&path) {
            return Ok(path);
        }
        input.ui.step("copying the image");
        let new = File::create_new(&to).doing(doing)?;
        sparse::copy(&file, &new, &to)?;
        return Ok(to);
    }
    input.ui.step("unpacking the image");
    let reader = BufReader::new(&file);
    match kind {
        ImageFile::Xz => fill(input, &to, streams(reader, MEMORY)?)?,
        // The program is twice as fast as the crate.
        ImageFile::Gzip => {
            let gzip = Program::new("gzip").arg("-dc").stdin(file).apart();
            let mut running = gzip.spawn()?;
            // First what ended the copy: gzip only fails of it.
            fill(input, &to, running.take_stdout())?;
            running.wait()?;
        }
        kind => fill(input, &to, kind.unpacked(reader).doing(doing)?)?,
    }
    Ok(to)
}

/// Not more than a disk of the machine's size can have, whatever its format.
fn fill(input: &Input<'_>, to: &Path, from: impl Read) -> Result<()> {
    let most = input.size.as_bytes() / 8 * 9 + (1 << 20);
    let filled = sparse::fill(to, from, most);
    if filled
        .doing(|| format!("unpacking {}", input.image))?
        .is_some()
    {
        return Ok(());
    }
    let (image, size) = (input.image, input.size);
    Err(Error::usage(format!(
        "the image {image} unpacks to more than the machine's disk of {size}"
    ))
    .hint("write a larger `machine: {disk: …}`, or look at what the image is"))
}

/// The format of the disk and its size; the formats are raw and qcow2, and nothing but the file counts.
fn inspect(file: &Path, input: &Input<'_>) -> Result<(DiskFormat, Size)> {
    let image = input.image;
    let doing = || format!("reading {}", file.display());
    if input.raw {
        let size = std::fs::metadata(file).doing(doing)?.len();
        return Ok((DiskFormat::Raw, Size::bytes(size)));
    }
    let format = match ImageFile::of(file).doing(doing)? {
        ImageFile::Raw => DiskFormat::Raw,
        ImageFile::Qcow2 => DiskFormat::Qcow2,
        other => {
            return Err(
                Error::stage(format!("{image} is no disk image that import takes"))
                    .cause(format!("it is {}", other.called()))
                    .hint(other.remedy()),
            );
        }
    };
    if let Some(other) = others::named_by(file, format.as_str())? {
        return Err(Error::stage(format!(
            "the image {image} refers to another file, {}, and is refused",
            printable(other.name())
        ))
        .hint("make it one file: qemu-img convert -O qcow2 IMAGE NEW"));
    }
    let info = info(file, format.as_str())
        .map_err(|error| error.hint("the image may be damaged: compare its digest"))?;
    // Anything at all is "raw": a disk that boots has a boot signature in its first sector.
    if format == DiskFormat::Raw && !has_boot_signature(file)? {
        return Err(Error::stage(format!("{image} is not a disk image"))
            .cause("its first sector has no partition table")
            .hint(
                "import takes raw and qcow2 disks, also compressed with xz, gzip, zstd or bzip2",
            ));
    }
    Ok((format, Size::bytes(info.virtual_size)))
}

fn has_boot_signature(file: &Path) -> Result<bool> {
    let mut sector = Vec::new();
    File::open(file)
        .and_then(|file| file.take(512).read_to_end(&mut sector))
        .doing(|| format!("reading {}", file.display()))?;
    Ok(sector.get(510..) == Some(&[0x55, 0xaa]))
}

#[cfg(test)]
mod tests;
