//! Takes the bytes of a blob in their order: digests them, keeps them for another time, and hands
//! each block to the threads that decode it as soon as it is complete.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha512};

use super::blocks::{Map, half};
use crate::error::{Context as _, DISK_FULL, Error, Kind, Result};
use crate::host::ours;
use crate::host::space::{self, NEARLY_FULL};
use crate::pack::read::{FOOTER_SIZE, Layout, ReadOptions, Seed, Unpacked, Unpacker};

/// A blob with a larger block than this, in bytes, is decoded when it is complete.
const LARGEST_BLOCK: u64 = 32 << 20;

/// What a blob has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// SHA-512 in hex.
    pub(super) sha512: &'a str,
    /// Size in bytes, or the most that it may have where the index does not say.
    pub(super) size: Result<u64, u64>,
}

/// Where the bytes of a blob go.
pub(super) struct Feeder<'a> {
    expected: Expected<'a>,
    /// The disk in the making.
    disk: &'a Path,
    options: ReadOptions,
    /// Where blocks may be that need not be decoded.
    seed: &'a Arc<Seed>,
    /// The copy of the blob that a later call can go on with.
    part: Option<(&'a Path, File)>,
    /// The end of the blob, with the index of its blocks, if it could be had first.
    end: Option<Vec<u8>>,
    digest: Sha512,
    at: u64,
    head: Vec<u8>,
    cutter: Option<Cutter>,
    failed: Option<Error>,
}

/// What became of the bytes.
pub(super) enum Verdict {
    /// They are what they have to be.
    Good(Fed),
    /// They are not: what they are instead.
    Wrong(String),
}

/// A verified blob.
pub(super) struct Fed {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its blocks, if they were looked at.
    pub(super) map: Option<Map>,
    /// The disk, if it could be written while the bytes came.
    pub(super) unpacked: Option<Unpacked>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(
        expected: Expected<'a>,
        disk: &'a Path,
        options: ReadOptions,
        seed: &'a Arc<Seed>,
        end: Option<Vec<u8>>,
    ) -> Self {
        Feeder {
            expected,
            disk,
            options,
            seed,
            part: None,
            end,
            digest: Sha512::new(),
            at: 0,
            head: vec![],
            cutter: None,
            failed: None,
        }
    }

    /// Appends what is not there yet to `part`.
    pub(super) fn keep(&mut self, part: &'a Path) -> Result<()> {
        let mut options = OpenOptions::new();
        let file = ours::no_link(options.create(true).append(true)).open(part);
        self.part = Some((part, file.doing(|| format!("writing {}", part.display()))?));
        Ok(())
    }

    /// How many bytes there are.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Forgets everything: the blob begins anew.
    pub(super) fn restart(&mut self) -> Result<()> {
        (self.digest, self.at, self.cutter, self.failed) = (Sha512::new(), 0, None, None);
        self.head.clear();
        match &self.part {
            Some((part, file)) => file
                .set_len(0)
                .doing(|| format!("writing {}", part.display())),
            None => Ok(()),
        }
    }

    /// Takes the bytes that follow; `kept` ones are in the part already.
    pub(super) fn take(&mut self, bytes: &[u8], kept: bool) -> Result<()> {
        let (Ok(most) | Err(most)) = self.expected.size;
        if self.at + bytes.len() as u64 > most {
            return Err(Error::gate("the server sends more than there should be")
                .cause(format!("the signed index allows {most} bytes"))
                .hint("tell the repository's owner; a proxy in between may also have changed it"));
        }
        self.digest.update(bytes);
        if let (Some((part, file)), false) = (&mut self.part, kept) {
            space::check_at(file, part)?;
            file.write_all(bytes)
                .doing(|| format!("writing {}", part.display()))?;
        }
        let result = self.cut(bytes);
        self.at += bytes.len() as u64;
        match result {
            Err(error) if passes(&error) => Err(error),
            Err(error) => {
                // Whether the bytes or we are to blame, the digest says in the end.
                (self.failed, self.cutter, self.end) = (Some(error), None, None);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn cut(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(cutter) = &mut self.cutter {
            return cutter.take(bytes);
        }
        let (Some(end), Ok(size)) = (&self.end, self.expected.size) else {
            return Ok(());
        };
        self.head.extend_from_slice(bytes);
        let Some(first) = self.head.first_chunk::<FOOTER_SIZE>() else {
            return Ok(());
        };
        let layout = Layout::parse(first, end, size).ok();
        let fits = |layout: &Layout| {
            let mut places = layout.blocks().iter();
            places.all(|place| place.stored <= LARGEST_BLOCK)
        };
        let Some(layout) = layout.filter(fits) else {
            self.end = None;
            return Ok(());
        };
        let doing = || format!("writing {}", self.disk.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.disk)
            .doing(doing)?;
        // A file that begins anew must not show through the holes of the new one.
        file.set_len(0).doing(doing)?;
        let seed = Arc::clone(self.seed);
        let unpacker = Unpacker::sown(layout.clone(), file, self.disk, &self.options, seed)?;
        let cutter = self.cutter.insert(Cutter {
            layout,
            unpacker,
            end: end.clone(),
            at: 0,
            block: vec![],
            next: 0,
        });
        cutter.take(&std::mem::take(&mut self.head))
    }

    /// All bytes are there: compares their digest, and waits for the disk.
    pub(super) fn finish(self) -> Result<Verdict> {
        let found = hex::encode(self.digest.finalize());
        if found != self.expected.sha512 {
            let why = self
                .failed
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            let (at, expected) = (self.at, self.expected.sha512);
            return Ok(Verdict::Wrong(format!(
                "its {at} bytes have the sha512 {found}, not {expected}{why}"
            )));
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut fed = Fed {
            size: self.at,
            map: None,
            unpacked: None,
        };
        if let Some(cutter) = self.cutter {
            let unpacked = cutter.unpacker.finish()?;
            let digests = unpacked.blocks.iter().map(|block| half(&block.stored));
            let lengths = cutter.layout.blocks().iter().map(|place| place.stored);
            fed.map = Some(Map {
                size: self.at,
                blocks: digests.zip(lengths).collect(),
            });
            fed.unpacked = Some(unpacked);
        }
        Ok(Verdict::Good(fed))
    }
}

/// A blob that would unpack to more than the index says.
pub(super) fn too_large(size: &str, largest: crate::units::Size) -> Error {
    Error::gate(format!(
        "the disk in the blob has {size}, not {largest} as the index says"
    ))
    .hint("tell the repository's owner")
}

/// Errors that have nothing to do with the bytes.
fn passes(error: &Error) -> bool {
    let full = [DISK_FULL, NEARLY_FULL].map(Some);
    matches!(error.kind(), Kind::Interrupted(_)) || full.contains(&error.hint_text())
}

/// Cuts the bytes into blocks.
struct Cutter {
    layout: Layout,
    unpacker: Unpacker,
    end: Vec<u8>,
    at: u64,
    block: Vec<u8>,
    /// Which block comes next.
    next: usize,
}

impl Cutter {
    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = match self.layout.blocks().get(self.next).copied() {
                Some(place) if self.at < place.offset => {
                    bytes.len().min((place.offset - self.at) as usize)
                }
                Some(place) => {
                    let missing = place.stored as usize - self.block.len();
                    let taken = bytes.len().min(missing);
                    if self.block.is_empty() {
                        self.block.reserve_exact(place.stored as usize);
                    }
                    self.block.extend_from_slice(&bytes[..taken]);
                    if taken == missing {
                        let block = std::mem::take(&mut self.block);
                        self.unpacker.hand(self.next, block)?;
                        self.next += 1;
                    }
                    taken
                }
                None => {
                    let start = self.at - (self.layout.stored() - self.end.len() as u64);
                    let rest = self.end.get(start as usize..).unwrap_or_default();
                    if !rest.starts_with(bytes) {
                        return Err(Error::stage(
                            "the server sent two different ends of one file",
                        ));
                    }
                    bytes.len()
                }
            };
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }
}
