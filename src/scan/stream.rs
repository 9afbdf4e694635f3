//! What the scanner puts around a file's content.

use std::io::{self, Cursor, Read};

use super::owned::Hasher;
use crate::host::interrupt;
use crate::ui::{StageUi, Unit};

/// How much of databases, journals, initrds and zip archives one search holds at once, in bytes:
/// of all that are within each other, too.
pub(super) const HELD: u64 = 1 << 30;

/// What must be seen at once; a byte more than `most` says that there is more.
pub(super) fn hold(content: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut held = Vec::new();
    content.take(most + 1).read_to_end(&mut held)?;
    Ok(held)
}

/// What follows zeroes, as archives end with; nothing where there are only those.
pub(super) fn behind_zeroes(content: &mut dyn Read) -> io::Result<Option<impl Read + '_>> {
    let mut block = Vec::new();
    loop {
        if interrupt::raised() {
            return Err(io::Error::other("interrupted"));
        }
        block.clear();
        if (&mut *content).take(ZEROES).read_to_end(&mut block)? == 0 {
            return Ok(None);
        }
        if let Some(at) = block.iter().position(|byte| *byte != 0) {
            return Ok(Some(Cursor::new(block.split_off(at)).chain(content)));
        }
    }
}

/// How much of zeroes is read in one go, in bytes.
const ZEROES: u64 = 64 << 10;

/// After so many bytes of one file progress is told.
const TOLD: u64 = 64 << 20;

/// Tells errors of the source from errors of a decoder, ends with imgforge, and says how far it is.
pub(super) struct Watched<'r> {
    inner: &'r mut dyn Read,
    pub(super) failed: Option<io::Error>,
    ui: Option<&'r StageUi>,
    size: u64,
    read: u64,
}

impl<'r> Watched<'r> {
    /// Of a file of `size` bytes.
    pub(super) fn new(inner: &'r mut dyn Read, size: u64, ui: Option<&'r StageUi>) -> Self {
        Watched {
            inner,
            failed: None,
            ui,
            size,
            read: 0,
        }
    }

    fn tell(&mut self, more: u64) {
        let before = self.read;
        self.read += more;
        if let Some(ui) = self.ui
            && before / TOLD != self.read / TOLD
        {
            ui.progress(self.read, self.size.max(self.read), Unit::Bytes);
        }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match interrupt::raised() {
            true => Err(io::Error::other("interrupted")),
            false => self.inner.read(buffer),
        };
        match &result {
            Ok(read) => self.tell(*read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.failed = Some(io::Error::new(error.kind(), error.to_string())),
        }
        result
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
