//! What can be read at any place.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes with places.
pub trait At: Debug {
    /// Fills all of `into` with what begins at byte `at`.
    ///
    /// # Errors
    /// When there is less, or it cannot be read.
    fn fill(&self, into: &mut [u8], at: u64) -> io::Result<()>;
}

impl At for File {
    fn fill(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(into, at)
    }
}
