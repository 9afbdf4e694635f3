//! Unpacks a `.xz` file that is complete.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha512};

use super::{Layout, Place, ReadOptions, Unpacked, Unpacker};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::host::outlet::Outlet;
use crate::pack::progress::Progress;
use crate::ui::StageUi;

/// Bytes read at once where a block is not read whole.
const CHUNK: u64 = 1 << 20;

/// Unpacks `xz` to the sparse file `out`, which appears under its name when it is complete and
/// synced. Returns what was written and the SHA-512 of the `.xz` file, computed in the same pass.
///
/// Progress goes to `ui` in bytes of the disk.
///
/// # Errors
/// When the file is damaged, cut short or changes, the output cannot be written, the memory does
/// not suffice, or imgforge is interrupted; then nothing is left at `out`.
pub fn unpack(
    xz: &Path,
    out: &Path,
    options: &ReadOptions,
    ui: &StageUi,
) -> Result<(Unpacked, String)> {
    let named = |error: Error| error.within(format!("unpacking {} failed", xz.display()));
    let doing = || format!("reading {}", xz.display());
    let input = File::open(xz).doing(doing)?;
    let layout = Layout::read(&input).map_err(named)?;
    let outlet = Outlet::of(out)?.apart_from(&input.metadata().doing(doing)?)?;
    let unfinished = outlet.create(0o666)?;
    let file = unfinished
        .file()
        .try_clone()
        .doing(|| format!("writing {}", out.display()))?;
    let mut digest = Sha512::new();
    let unpacker = Unpacker::start(layout.clone(), file, out, options)?;
    feed(&layout, input, &unpacker, &mut digest, ui).map_err(named)?;
    let unpacked = unpacker.finish().map_err(named)?;
    unfinished.appear()?;
    Ok((unpacked, hex::encode(digest.finalize())))
}

fn feed(
    layout: &Layout,
    input: File,
    unpacker: &Unpacker,
    digest: &mut Sha512,
    ui: &StageUi,
) -> Result<()> {
    let mut progress = Progress::new(ui, layout.size());
    let input = Arc::new(input);
    let mut end = 0;
    for (index, place) in layout.blocks().iter().enumerate() {
        interrupt::check()?;
        pass(&input, end, place.offset - end, digest)?;
        end = place.offset + place.stored;
        if unpacker.is_large(place.stored) {
            pass(&input, place.offset, place.stored, digest)?;
            unpacker.hand_file(index, &input)?;
        } else {
            let bytes = read(&input, place)?;
            digest.update(&bytes);
            unpacker.hand(index, bytes)?;
        }
        progress.show(unpacker.done());
    }
    pass(&input, end, layout.stored() - end, digest)?;
    while unpacker.is_busy()? {
        progress.show(unpacker.done());
    }
    progress.show(unpacker.done());
    Ok(())
}

fn read(input: &File, place: &Place) -> Result<Vec<u8>> {
    let mut bytes = vec![0; place.stored as usize];
    input
        .read_exact_at(&mut bytes, place.offset)
        .doing(|| "reading a block".into())?;
    Ok(bytes)
}

/// Digests `len` bytes that nobody else needs.
fn pass(input: &File, mut at: u64, mut len: u64, digest: &mut Sha512) -> Result<()> {
    let mut buffer = vec![0; len.min(CHUNK) as usize];
    while len > 0 {
        let some = &mut buffer[..len.min(CHUNK) as usize];
        input
            .read_exact_at(some, at)
            .doing(|| "reading the file".into())?;
        digest.update(&*some);
        at += some.len() as u64;
        len -= some.len() as u64;
    }
    Ok(())
}
