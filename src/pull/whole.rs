//! A blob as a whole, verified, for who must not write anything before all of it is known to be right.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use rustix::fs::{MemfdFlags, memfd_create};

use super::blob::wrong;
use super::{Image, Session};
use crate::error::{Context as _, Error, Result};
use crate::host::{memory, opened};
use crate::http::Piece;
use crate::pack::read::Known;
use crate::ui::{StageUi, Unit};
use crate::units::Size;

/// What stays free beside a blob in memory: decoders, and the rest of a small system.
const RESERVE: Size = Size::mib(256);

/// Gets the blob of an image, and compares it with what the signed index says. One on this host is read
/// where it is, another one into memory.
///
/// # Errors
/// When it does not fit into memory, cannot be fetched, or is not what the signed index says.
pub fn whole(session: &Session<'_>, image: &Image, ui: &StageUi) -> Result<Known> {
    if let Some(format) = image.format.as_deref().filter(|format| *format != "raw") {
        let error = Error::stage(format!(
            "`{}` has a disk of the format {format}",
            image.name
        ));
        return Err(error.hint("only raw disks are written; publish it by imgforge"));
    }
    let file = match image.url.local() {
        Some(path) => {
            let opened = opened::open(&path);
            opened.doing(|| format!("reading {}", path.display()))?
        }
        None => fetch(session, image, ui)?,
    };
    ui.step("verifying the blob");
    Known::read(file, &image.sha512)?.map_err(|found| {
        let expected = &image.sha512;
        wrong(image, format!("it has the sha512 {found}, not {expected}"))
    })
}

/// Fetches the blob into memory.
fn fetch(session: &Session<'_>, image: &Image, ui: &StageUi) -> Result<File> {
    let Some(size) = image.size else {
        let error = Error::stage(format!("the index has no size of `{}`", image.name));
        return Err(error.hint("tell the repository's owner to add `compressed_size=`"));
    };
    let free = memory::free().unwrap_or(Size::bytes(u64::MAX));
    if size.saturating_add(RESERVE.as_bytes()) > free.as_bytes() {
        let (size, free) = (Size::bytes(size).human(), free.human());
        return Err(Error::host(format!(
            "the blob of `{}` has {size}, and only {free} of memory is free",
            image.name
        ))
        .cause(format!(
            "it is verified before anything is written, in memory, with {} to spare",
            RESERVE.human()
        ))
        .hint("copy the repository to a stick or another disk, and name its directory: /mnt/repo#NAME"));
    }
    let doing = || String::from("keeping the blob in memory");
    let made = memfd_create("blob", MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
    let mut file = File::from(made.doing(doing)?);
    ui.step("fetching the blob into memory");
    let source = session.source(&image.url)?;
    let mut stream = source.open_at(&image.url, 0, None, None)?;
    let mut at = 0;
    while let Some(piece) = stream.next_piece()? {
        match piece {
            Piece::Bytes(bytes) => {
                at += bytes.len() as u64;
                if at > size {
                    return Err(wrong(image, format!("it has more than {size} bytes")));
                }
                file.write_all(&bytes).doing(doing)?;
                ui.progress(at, size, Unit::Bytes);
            }
            Piece::Restart => {
                at = 0;
                file.set_len(0).doing(doing)?;
                file.rewind().doing(doing)?;
            }
        }
    }
    Ok(file)
}
