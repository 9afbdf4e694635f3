//! Gives the blocks that no file uses back, so that they read as zeroes.

use crate::error::Result;
use crate::guest::{Guestfs, Os};

/// How the free blocks of a file system became zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Given back to the host (fstrim).
    Discarded,
    /// Filled with zeroes, where the file system knows no discard.
    Zeroed,
    /// Neither: the file system is read-only.
    Untouched,
}

/// A file system after trimming; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// Where it is mounted.
    pub at: String,
    /// What files use.
    pub used: u64,
    /// Its size.
    pub total: u64,
    /// How its free blocks became zeroes.
    pub how: How,
}

/// Trims every mounted file system.
pub(super) fn trim(guest: &Guestfs, os: &Os) -> Result<Vec<Trimmed>> {
    // Blocks of removed files are free for discarding only once the journal is written.
    guest.sync()?;
    os.mountpoints
        .iter()
        .map(|(at, _)| trim_one(guest, at))
        .collect()
}

fn trim_one(guest: &Guestfs, at: &str) -> Result<Trimmed> {
    let how = match guest.fstrim(at) {
        Ok(()) => How::Discarded,
        Err(_) if guest.zero_free_space(at).is_ok() => How::Zeroed,
        Err(_) => How::Untouched,
    };
    crate::host::interrupt::check()?;
    let space = guest.statvfs(at)?;
    Ok(Trimmed {
        at: at.to_owned(),
        used: space.total - space.free,
        total: space.total,
        how,
    })
}
