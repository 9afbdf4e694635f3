//! The bytes of a disk over its chain of backing files, read at any place: what a guest sees, without one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{Context as _, Error, Result};
use crate::ext4::At;
use crate::host::others;
use crate::host::qemu_img::{self, Stretch};

/// A disk that is open.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Its own file, and those below.
    files: Vec<File>,
    /// Where its bytes are, in order, without gaps.
    map: Vec<Stretch>,
}

impl Overlay {
    /// Opens a disk that nobody writes to.
    ///
    /// # Errors
    /// When it cannot be read, or has bytes that do not lie in a file as they are, as of compressed
    /// clusters.
    pub(crate) fn open(disk: &Path, format: &str) -> Result<Self> {
        let mut files = vec![];
        for (path, _) in others::layers(disk, format)? {
            files.push(File::open(&path).doing(|| format!("opening {}", path.display()))?);
        }
        let map = qemu_img::map(disk, format)?;
        let mut end = 0;
        for part in &map {
            let is_read = !part.data || part.zero || part.offset.is_some();
            if part.start != end || part.depth >= files.len() || !is_read {
                return Err(Error::host(
                    "a part of the disk is compressed, or lies elsewhere",
                ));
            }
            end = part.start.saturating_add(part.length);
        }
        Ok(Overlay { files, map })
    }

    /// Its size as a guest sees it, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.map.last().map_or(0, |part| part.start + part.length)
    }

    /// The parts of `range` that may have something other than zeroes.
    pub(crate) fn data(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let parts = self.map.iter().filter(|part| part.data && !part.zero);
        parts
            .map(move |part| {
                let end = part.start + part.length;
                part.start.max(range.start)..end.min(range.end)
            })
            .filter(|part| part.start < part.end)
    }
}

impl At for Overlay {
    fn fill(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = at + done as u64;
            let index = self.map.partition_point(|part| part.start <= at);
            let part = index.checked_sub(1).map(|index| &self.map[index]);
            let part = part.filter(|part| at < part.start + part.length);
            let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
            let left = part.start + part.length - at;
            let count = left.min((into.len() - done) as u64) as usize;
            let piece = &mut into[done..done + count];
            match part.offset.filter(|_| part.data && !part.zero) {
                Some(offset) => {
                    self.files[part.depth].read_exact_at(piece, offset + (at - part.start))?;
                }
                None => piece.fill(0),
            }
            done += count;
        }
        Ok(())
    }
}
