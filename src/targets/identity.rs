//! Numbers that a format wants to be unique, from what a disk holds: equal disks have equal ones.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};

use crate::error::{Context as _, Result};
use crate::host::interrupt;

/// How much is hashed at once, in bytes.
const PIECE: u64 = 1 << 20;

/// Calls `each` with every whole piece of `size` bytes that is not a hole of `file`, in order, and
/// with where it begins. The last one may be shorter.
pub(super) fn pieces(
    file: &File,
    size: u64,
    mut each: impl FnMut(u64, &[u8]) -> std::io::Result<()>,
) -> Result<()> {
    let doing = || "reading the disk".to_owned();
    let all = file.metadata().doing(doing)?.len();
    let mut buffer = vec![0; size as usize];
    let mut at = 0;
    while at < all {
        interrupt::check()?;
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = data / size * size,
            // Nothing follows.
            Err(rustix::io::Errno::NXIO) => break,
            // The file system knows no holes.
            Err(_) => {}
        }
        let piece = &mut buffer[..(all - at).min(size) as usize];
        file.read_exact_at(piece, at).doing(doing)?;
        each(at, piece).doing(doing)?;
        at += size;
    }
    Ok(())
}

/// What a raw disk holds, as a number: zeroes do not count, written or not.
pub(super) fn of(raw: &Path) -> Result<[u8; 32]> {
    let file = File::open(raw).doing(|| format!("reading {}", raw.display()))?;
    let mut hasher = blake3::Hasher::new();
    pieces(&file, PIECE, |at, piece| {
        if piece.iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes());
            hasher.update(piece);
        }
        Ok(())
    })?;
    Ok(*hasher.finalize().as_bytes())
}
