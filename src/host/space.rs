//! Room on file systems.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::units::Size;

/// What has to stay free, for all that the host does besides, in bytes; of a small file system, this
/// part of it.
const RESERVE: u64 = 256 << 20;
const PART: u64 = 64;

/// The hint of everything that would have filled a file system.
pub const NEARLY_FULL: &str = "look at what the disk is, or make room: TMPDIR names another place \
                               for scratch files, and `imgforge gc` frees the state directory";

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
    rustix::fs::statvfs(dir).map_or(Ok(()), |stat| judge(&stat, dir))
}

/// As [`check`], of where a file is that messages call `path`.
///
/// # Errors
/// As [`check`].
pub fn check_at(file: &File, path: &Path) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    rustix::fs::fstatvfs(file).map_or(Ok(()), |stat| judge(&stat, dir))
}

/// A new file for what is large, which leaves the host room.
#[derive(Debug)]
pub struct Frugal {
    file: File,
    path: PathBuf,
}

impl Frugal {
    /// Makes it, or empties what is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Frugal {
            file: File::create(path)?,
            path: path.to_owned(),
        })
    }
}

impl io::Write for Frugal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ask(&self.file, &self.path)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Deref for Frugal {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// As [`check_at`], for who knows the errors of the system only.
///
/// # Errors
/// As of a file system that is full.
pub fn ask(file: &File, path: &Path) -> io::Result<()> {
    check_at(file, path).map_err(|full| io::Error::new(io::ErrorKind::StorageFull, full.message()))
}

fn judge(stat: &rustix::fs::StatVfs, dir: &Path) -> Result<()> {
    let reserve = RESERVE.min(stat.f_blocks.saturating_mul(stat.f_frsize) / PART);
    if available(stat) >= reserve {
        return Ok(());
    }
    Err(Error::stage(format!(
        "{} is nearly full: less than {} are free",
        dir.display(),
        Size::bytes(reserve).human()
    ))
    .cause("what was being written there is larger than what else is free")
    .hint(NEARLY_FULL))
}
