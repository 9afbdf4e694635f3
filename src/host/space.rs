//! Room on file systems.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::units::Size;

/// What has to stay free, for all that the host does besides, in bytes; of a small file system, this
/// part of it.
const RESERVE: u64 = 256 << 20;
const PART: u64 = 64;

/// Bytes that this user may still write at `dir`.
///
/// # Errors
/// When the system does not tell.
pub fn free(dir: &Path) -> io::Result<u64> {
    rustix::fs::statvfs(dir)
        .map(|stat| available(&stat))
        .map_err(io::Error::from)
}

fn available(stat: &rustix::fs::StatVfs) -> u64 {
    stat.f_bavail.saturating_mul(stat.f_frsize)
}

/// Refuses to write more at `dir`, an existing directory, when that would fill it: what somebody
/// else has packed can unpack to any size.
///
/// # Errors
/// When the reserve is all that is free.
pub fn check(dir: &Path) -> Result<()> {
    // Who does not tell has no end that is known.
    let Ok(stat) = rustix::fs::statvfs(dir) else {
        return Ok(());
    };
    let reserve = RESERVE.min(stat.f_blocks.saturating_mul(stat.f_frsize) / PART);
    if available(&stat) >= reserve {
        return Ok(());
    }
    Err(Error::stage(format!(
        "{} is nearly full: less than {} are free",
        dir.display(),
        Size::bytes(reserve).human()
    ))
    .cause("what was being written there is larger than what else is free")
    .hint(
        "look at what the disk is, or make room: TMPDIR names another place for scratch files, and \
         `imgforge gc` frees the state directory",
    ))
}
