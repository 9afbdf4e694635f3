//! What the scanner puts around a file's content.

use std::io::{self, Read};

use super::owned::Hasher;

/// How much of a database, a journal or an initrd is held, in bytes.
pub(super) const HELD: u64 = 1 << 30;

/// What must be seen at once.
pub(super) fn hold(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut held = Vec::new();
    content.take(HELD).read_to_end(&mut held)?;
    Ok(held)
}

/// Tells errors of the source from errors of a decoder.
pub(super) struct Watched<'r> {
    inner: &'r mut dyn Read,
    pub(super) failed: Option<io::Error>,
}

impl<'r> Watched<'r> {
    pub(super) fn new(inner: &'r mut dyn Read) -> Self {
        Watched {
            inner,
            failed: None,
        }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}

/// Computes the digests of what is read.
pub(super) struct Hashed<'h, R> {
    pub(super) inner: R,
    pub(super) hasher: Option<&'h mut Hasher>,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}
