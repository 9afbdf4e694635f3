//! How much may be remembered of a disk's files: a disk of anybody's must not fill the memory.

use std::io;

/// The longest path of a file, in bytes: what programs can name (PATH_MAX).
pub(crate) const LONGEST_PATH: usize = 4096;

/// What is remembered of any disk, in bytes.
pub(super) const LEAST: u64 = 64 << 20;

/// What is remembered at most, in bytes: about seven million files.
const MOST: u64 = 2 << 30;

/// What may still be remembered.
#[derive(Debug)]
pub(crate) struct Bound {
    left: u64,
}

impl Bound {
    /// For a file system of `size` bytes: what it says of its files is no larger than itself.
    pub(crate) fn of(size: u64) -> Self {
        Bound {
            left: size.saturating_add(LEAST).min(MOST),
        }
    }

    /// Counts so many bytes.
    pub(crate) fn charge(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or_else(|| {
            io::Error::other("its list of files is larger than any image's: is it damaged?")
        })?;
        Ok(())
    }
}
