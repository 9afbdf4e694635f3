//! Blobs that others made: without blocks, of several streams, or not compressed at all.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::path::Path;

use super::feeder::too_large;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::pack::read::{Layout, ReadOptions, unpack as unpack_blocks, write_sparse};
use crate::ui::StageUi;
use crate::units::Size;

const CHUNK: usize = 1 << 20;

/// Unpacks a verified, complete blob to the file `disk`.
pub(super) fn unpack(blob: &Path, disk: &Path, options: &ReadOptions, ui: &StageUi) -> Result<()> {
    let doing = || format!("unpacking {}", blob.display());
    let file = File::open(blob).doing(doing)?;
    let mut head = Vec::new();
    (&file).take(6).read_to_end(&mut head).doing(doing)?;
    let reader = || File::open(blob).map(BufReader::new).doing(doing);
    match head.as_slice() {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => match (Layout::read(&file), options.largest) {
            (Ok(layout), Some(largest)) if layout.size() > largest.as_bytes() => {
                Err(too_large(&Size::bytes(layout.size()).to_string(), largest))
            }
            (Ok(_), _) => unpack_blocks(blob, disk, options, ui).map(drop),
            (Err(_), largest) => {
                let reader = xz2::read::XzDecoder::new_multi_decoder(reader()?);
                copy(reader, disk, largest).doing(doing)
            }
        },
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..] => {
            Err(Error::stage(format!(
                "{} is packed in a way that virt-builder does not know",
                blob.display()
            ))
            .hint("a repository has .xz files and plain disks; tell its owner"))
        }
        _ => copy(reader()?, disk, options.largest).doing(doing),
    }
}

/// Copies, leaving holes where there are only zeros.
fn copy(mut from: impl Read, disk: &Path, largest: Option<Size>) -> Result<()> {
    let doing = || format!("writing {}", disk.display());
    let file = OpenOptions::new().write(true).open(disk).doing(doing)?;
    file.set_len(0).doing(doing)?;
    let (mut at, mut buffer) = (0, Vec::with_capacity(CHUNK));
    loop {
        interrupt::check()?;
        buffer.clear();
        let read = (&mut from).take(CHUNK as u64).read_to_end(&mut buffer);
        if read.doing(|| "reading the blob".into())? == 0 {
            file.set_len(at).doing(doing)?;
            return file.sync_all().doing(doing);
        }
        write_sparse(&file, at, &buffer).doing(doing)?;
        at += buffer.len() as u64;
        if let Some(largest) = largest.filter(|largest| at > largest.as_bytes()) {
            return Err(too_large("more", largest));
        }
    }
}
