//! A complete `.xz` file that others may still be able to change: what is decoded of it is what was digested
//! before.

use std::collections::HashSet;
use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha512};

use super::{Layout, Place, block};
use crate::error::{Context as _, Error, Result};
use crate::host::{interrupt, sparse};
use crate::mutex::Unpoisoned as _;
use crate::units::Size;

/// Larger blocks, in bytes as they are stored, are not held in memory.
const LARGEST_BLOCK: u64 = 64 << 20;

/// What the decoder of one block may use.
const DECODER: Size = Size::mib(128);

/// Bytes digested at once between blocks.
const PIECE: u64 = 1 << 20;

/// What a place of the disk has.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes, zeros among them.
    Bytes(&'a [u8]),
    /// So many zeros.
    Zeros(u64),
}

/// Takes what the disk has at a place, from several threads at once.
type Taker<'a> = dyn Fn(u64, Content<'_>) -> Result<()> + Sync + 'a;

/// The file.
#[derive(Debug)]
pub struct Known {
    file: File,
    layout: Layout,
    /// Of each block as it is stored.
    digests: Vec<blake3::Hash>,
    /// Blocks of nothing but zeros: as they are stored, and how many bytes they have.
    zeros: Mutex<HashSet<(blake3::Hash, u64)>>,
}

impl Known {
    /// Reads a file once, whose SHA-512 has to be `expected`, in hex; what it is instead, if it is another.
    ///
    /// # Errors
    /// When it cannot be read, has the right digest and is no `.xz` file in blocks, or imgforge is
    /// interrupted.
    pub fn read(file: File, expected: &str) -> Result<Result<Known, String>> {
        let layout = Layout::read(&file);
        let places = layout.as_ref().map_or(&[][..], Layout::blocks);
        let size = file.metadata().doing(doing)?.len();
        let (mut whole, mut at) = (Sha512::new(), 0);
        let mut digests = Vec::with_capacity(places.len());
        for place in places.iter().filter(|place| place.stored <= LARGEST_BLOCK) {
            pass(&file, at..place.offset, &mut whole)?;
            let bytes = read(&file, place.offset, place.stored)?;
            whole.update(&bytes);
            digests.push(blake3::hash(&bytes));
            at = place.offset + place.stored;
        }
        pass(&file, at..size, &mut whole)?;
        let found = hex::encode(whole.finalize());
        if found != expected {
            return Ok(Err(found));
        }
        if digests.len() < places.len() {
            let error =
                Error::stage("the .xz file has blocks that are too large to be held in memory");
            return Err(error.hint("`imgforge disk pack` makes small ones; publish it again"));
        }
        Ok(Ok(Known {
            file,
            layout: layout?,
            digests,
            zeros: Mutex::default(),
        }))
    }

    /// Where its blocks are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A part of the disk; it has to be there.
    ///
    /// # Errors
    /// As [`Known::decode`].
    pub fn part(&self, part: Range<u64>) -> Result<Vec<u8>> {
        let bytes = Mutex::new(vec![0; (part.end - part.start) as usize]);
        let places = self.layout.blocks();
        let meets = |place: &Place| place.start < part.end && part.start < place.start + place.len;
        let first = places.iter().position(meets).unwrap_or(0);
        let count = places[first..]
            .iter()
            .take_while(|place| meets(place))
            .count();
        self.decode(first..first + count, 1, &|at, content| {
            let Content::Bytes(found) = content else {
                return Ok(());
            };
            let (from, to) = (at.max(part.start), (at + found.len() as u64).min(part.end));
            if from < to {
                let found = &found[(from - at) as usize..(to - at) as usize];
                let start = (from - part.start) as usize;
                bytes.lock().unpoisoned()[start..start + found.len()].copy_from_slice(found);
            }
            Ok(())
        })?;
        Ok(bytes.into_inner().unpoisoned())
    }

    /// Decodes blocks in so many threads, and gives what they have to `take`, in any order.
    ///
    /// # Errors
    /// When the file is not what it was, cannot be decoded or read, `take` fails, or imgforge is interrupted.
    pub fn decode(&self, blocks: Range<usize>, threads: usize, take: &Taker<'_>) -> Result<()> {
        let (next, failed) = (AtomicUsize::new(blocks.start), Mutex::new(None::<Error>));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= blocks.end || failed.lock().unpoisoned().is_some() {
                    return;
                }
                if let Err(error) = self.decode_one(index, take) {
                    failed.lock().unpoisoned().get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(blocks.len()) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().unpoisoned().map_or(Ok(()), Err)
    }

    fn decode_one(&self, index: usize, take: &Taker<'_>) -> Result<()> {
        interrupt::check()?;
        let place = &self.layout.blocks()[index];
        let bytes = read(&self.file, place.offset, place.stored)?;
        let digest = blake3::hash(&bytes);
        if digest != self.digests[index] {
            let error = Error::gate(format!("block {} changed while it was read", index + 1));
            return Err(error.hint("find out who writes there; do not use what was made of it"));
        }
        let key = (digest, place.len);
        if self.zeros.lock().unpoisoned().contains(&key) {
            return take(place.start, Content::Zeros(place.len));
        }
        let mut zero = true;
        let mut sink = |at: u64, bytes: &[u8]| {
            interrupt::check()?;
            zero &= sparse::is_zero(bytes);
            take(place.start + at, Content::Bytes(bytes))
        };
        let memory = DECODER.as_bytes();
        block::decode(
            &self.layout,
            index,
            &mut Cursor::new(bytes),
            memory,
            &mut sink,
        )?;
        if zero {
            self.zeros.lock().unpoisoned().insert(key);
        }
        Ok(())
    }
}

fn doing() -> String {
    "reading the .xz file".into()
}

fn read(file: &File, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, at).doing(doing)?;
    Ok(bytes)
}

/// Digests what is between blocks.
fn pass(file: &File, part: Range<u64>, whole: &mut Sha512) -> Result<()> {
    for at in part.clone().step_by(PIECE as usize) {
        interrupt::check()?;
        whole.update(read(file, at, PIECE.min(part.end - at))?);
    }
    Ok(())
}
