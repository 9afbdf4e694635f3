//! Blobs that others made: without blocks, of several streams, or not compressed at all.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek as _};
use std::path::Path;

use sha2::{Digest as _, Sha512};

use super::feeder::too_large;
use crate::error::{Context as _, Error, Result};
use crate::host::imagefile::ImageFile;
use crate::host::{interrupt, opened, sparse};
use crate::pack::read::{Layout, ReadOptions, streams, unpack as unpack_blocks};
use crate::ui::StageUi;
use crate::units::Size;

const CHUNK: usize = 1 << 20;

/// Memory of a decoder where nobody says.
const MEMORY: Size = Size::mib(512);

/// A complete blob that was verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complete<'a> {
    /// Where it is.
    pub(super) path: &'a Path,
    /// What people know it as.
    pub(super) shown: &'a str,
    /// Its SHA-512, where others can still change it: then what is read must be that again.
    pub(super) sha512: Option<&'a str>,
}

/// Unpacks a blob to the file `disk`.
pub(super) fn unpack(
    blob: &Complete<'_>,
    disk: &Path,
    options: &ReadOptions,
    ui: &StageUi,
) -> Result<()> {
    let doing = || format!("unpacking {}", blob.shown);
    let mut file = opened::open(blob.path).doing(doing)?;
    let kind = ImageFile::of_open(&file).doing(doing)?;
    let is_xz = kind == ImageFile::Xz;
    if is_xz
        && blob.sha512.is_none()
        && let Ok(layout) = Layout::read(&file)
    {
        return match options.largest {
            Some(largest) if layout.size() > largest.as_bytes() => {
                Err(too_large(&Size::bytes(layout.size()).to_string(), largest))
            }
            _ => unpack_blocks(blob.path, disk, options, ui)
                .map(drop)
                .map_err(|error| error.within(format!("unpacking {} failed", blob.shown))),
        };
    }
    if kind == ImageFile::Zip || kind.is_compressed() && !is_xz {
        return Err(Error::stage(format!(
            "{} is packed in a way that virt-builder does not know",
            blob.shown
        ))
        .hint("a repository has .xz files and plain disks; tell its owner"));
    }
    file.rewind().doing(doing)?;
    let mut read = Digested {
        from: file,
        digest: Sha512::new(),
    };
    if is_xz {
        let mut decoder = streams(&mut read, options.memory.unwrap_or(MEMORY))?;
        copy(&mut decoder, disk, options.largest).doing(doing)?;
    } else {
        copy(&mut read, disk, options.largest).doing(doing)?;
    }
    let Some(expected) = blob.sha512 else {
        return Ok(());
    };
    std::io::copy(&mut read, &mut std::io::sink()).doing(doing)?;
    if hex::encode(read.digest.finalize()) == expected {
        return Ok(());
    }
    Err(
        Error::gate(format!("{} changed while it was read", blob.shown))
            .cause("it was what the signed index says when it was compared, and then was not")
            .hint("find out who writes there; do not use what was made of it"),
    )
}

/// A file and the digest of what was read of it.
struct Digested {
    from: File,
    digest: Sha512,
}

impl Read for Digested {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

/// Copies, leaving holes where there are only zeros.
fn copy(from: &mut dyn Read, disk: &Path, largest: Option<Size>) -> Result<()> {
    let doing = || format!("writing {}", disk.display());
    let file = OpenOptions::new().write(true).open(disk).doing(doing)?;
    file.set_len(0).doing(doing)?;
    let (mut at, mut buffer) = (0, Vec::with_capacity(CHUNK));
    loop {
        interrupt::check()?;
        buffer.clear();
        let read = from.take(CHUNK as u64).read_to_end(&mut buffer);
        if read.doing(|| "reading the blob".into())? == 0 {
            file.set_len(at).doing(doing)?;
            return file.sync_all().doing(doing);
        }
        sparse::write(&file, disk, at, &buffer)?;
        at += buffer.len() as u64;
        if let Some(largest) = largest.filter(|largest| at > largest.as_bytes()) {
            return Err(too_large("more", largest));
        }
    }
}
