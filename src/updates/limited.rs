//! Files of any length, of which no piece is larger than it can be: what is kept of one is bounded.

use std::cell::Cell;
use std::io::{self, Read};

/// Gives as many bytes as are left for one piece; who has taken a piece sets that anew.
pub(super) struct Limited<'a, R> {
    pub(super) from: R,
    pub(super) left: &'a Cell<u64>,
    /// What is too large, as a sentence.
    pub(super) said: &'static str,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left
            .set(left.ok_or_else(|| io::Error::other(self.said))?);
        Ok(read)
    }
}
