//! Gives the blocks that no file uses back, so that they read as zeroes.

use crate::error::Result;
use crate::guest::{Guestfs, Os};
use crate::host::interrupt;

/// The cluster size, in bytes, that the overlay to be sealed needs (`qemu-img create -o
/// cluster_size=4096`). With QEMU's usual 64 KiB, what was removed stays readable beside files
/// that stay: a discard smaller than a cluster does nothing.
pub const OVERLAY_CLUSTER: u64 = 4096;

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
    // Smaller blocks than the overlay's clusters cannot be discarded one by one. Only small file
    // systems have them, so zeroes are cheap.
    let fine = guest.statvfs(at)?.block >= OVERLAY_CLUSTER;
    let zeroed = !fine && guest.zero_free_space(at).is_ok();
    let how = match guest.fstrim(at) {
        Ok(()) => How::Discarded,
        Err(_) if zeroed || guest.zero_free_space(at).is_ok() => How::Zeroed,
        Err(_) => How::Untouched,
    };
    interrupt::check()?;
    let space = guest.statvfs(at)?;
    Ok(Trimmed {
        at: at.to_owned(),
        used: space.total - space.free,
        total: space.total,
        how,
    })
}
