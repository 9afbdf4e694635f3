//! A disk that has some of the blocks already.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::super::{Place, block};
use super::Shared;
use crate::error::Result;
use crate::host::{interrupt, sparse};

/// The BLAKE3 of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockDigests {
    /// Of its bytes in the `.xz` file.
    pub stored: blake3::Hash,
    /// Of what they decode to; nothing where that is only zeros.
    pub decoded: Option<blake3::Hash>,
}

/// A disk that an earlier file was unpacked to. It is not trusted: a block counts at its place if
/// its bytes, as they are written to the new disk, have the digest of what it once decoded to.
#[derive(Debug, Default)]
pub struct Seed {
    /// The disk; others may have written to it, or do.
    pub disk: Option<File>,
    /// What blocks decode to, by the digest of how they are stored.
    pub decoded: HashMap<blake3::Hash, blake3::Hash>,
}

/// A seed, and the disk that is made of it.
pub(super) struct Sown {
    seed: Arc<Seed>,
    /// What any block decodes to: what the disk has of an earlier file, nobody has changed there.
    known: HashSet<blake3::Hash>,
    /// Whether the new disk shares all blocks of the old one, until they are written.
    shared: bool,
}

impl Seed {
    /// Lets the empty `file` begin as the seed, where the file system can do that without a copy.
    ///
    /// # Errors
    /// As [`sparse::share`].
    pub(super) fn sow(self: Arc<Self>, file: &File) -> io::Result<Sown> {
        let disk = self.disk.as_ref().filter(|_| !self.decoded.is_empty());
        let shared = disk.map_or(Ok(false), |disk| sparse::share(disk, file))?;
        Ok(Sown::new(self, shared))
    }
}

impl Sown {
    fn new(seed: Arc<Seed>, shared: bool) -> Self {
        let known = seed.decoded.values().copied().collect();
        Sown {
            seed,
            known,
            shared,
        }
    }
}

impl Shared {
    /// Takes the block that is `stored` from the seed, and gives its digest. Where the seed has another
    /// one, or none, the place is a hole then.
    pub(super) fn take(
        &self,
        place: &Place,
        stored: Option<blake3::Hash>,
    ) -> Result<Option<blake3::Hash>> {
        let Some(Sown {
            seed,
            known,
            shared,
        }) = &self.seed
        else {
            return Ok(None);
        };
        let expected = stored.and_then(|stored| seed.decoded.get(&stored).copied());
        if let (Some(_), Some(disk)) = (expected, &seed.disk) {
            let found = self.copy(place, disk, *shared)?;
            let mut state = self.lock();
            if found == expected {
                state.copied += place.len;
                return Ok(expected);
            }
            if found.is_some_and(|found| !known.contains(&found)) {
                state.changed += place.len;
            }
        } else if !shared {
            return Ok(None);
        }
        sparse::punch(&self.file, &self.path, place.start, place.len)?;
        Ok(None)
    }

    /// The digest of what the new disk has of a block now, or nothing where the seed ends or cannot
    /// be read, or has only zeros.
    fn copy(&self, place: &Place, disk: &File, shared: bool) -> Result<Option<blake3::Hash>> {
        let from = if shared { &self.file } else { disk };
        let (mut at, end) = (place.start, place.start + place.len);
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; block::CHUNK]);
        let mut zero = true;
        while at < end {
            interrupt::check()?;
            let some = &mut buffer[..block::CHUNK.min((end - at) as usize)];
            if from.read_exact_at(some, at).is_err() {
                return Ok(None);
            }
            hasher.update(some);
            zero &= sparse::is_zero(some);
            if !shared {
                sparse::write(&self.file, &self.path, at, some)?;
            }
            at += some.len() as u64;
        }
        Ok((!zero).then(|| hasher.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, Unpacked, Unpacker};
    use super::*;
    use crate::pack::read::ReadOptions;
    use crate::pack::{self, Filter, Options, Profile, Settings};
    use crate::ui::Ui;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    /// Unpacks `xz` to `to`, which is as the seed where it shares its blocks.
    fn unpack(xz: &Path, to: &Path, seed: Seed, shared: bool) -> Unpacked {
        let (xz, mut options) = (File::open(xz).unwrap(), File::options());
        let layout = Layout::read(&xz).unwrap();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .open(to)
            .unwrap();
        let seed = Arc::new(seed);
        let sown = Some(Sown::new(seed, shared));
        let unpacker = Unpacker::begin(layout.clone(), file, to, &ReadOptions::default(), sown);
        let unpacker = unpacker.unwrap();
        for (index, place) in layout.blocks().iter().enumerate() {
            let mut bytes = vec![0; place.stored as usize];
            xz.read_exact_at(&mut bytes, place.offset).unwrap();
            unpacker.hand(index, bytes).unwrap();
        }
        unpacker.finish().unwrap()
    }

    #[test]
    fn what_the_seed_has_of_others_never_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [raw, xz, old, new] = ["raw", "xz", "old", "new"].map(|name| dir.path().join(name));
        let profile = Profile::Nightly;
        let size = Settings::of(profile, Filter::None).block as u64;
        let file = File::create(&raw).unwrap();
        file.set_len(5 * size + 5000).unwrap();
        for block in [0, 1, 3, 5] {
            let bytes = vec![block as u8 + 1; 5000];
            file.write_all_at(&bytes, block * size).unwrap();
        }
        let options = Options {
            profile,
            ..Options::default()
        };
        pack::compress(&raw, &xz, &options, &Ui::silent().stage("web", "pack")).unwrap();
        let decoded = unpack(&xz, &new, Seed::default(), false).blocks;
        let known = |block: &BlockDigests| Some((block.stored, block.decoded?));
        let copy = |from: &Path, to: &Path| {
            let (from, new) = (File::open(from).unwrap(), File::create(to).unwrap());
            sparse::copy(&from, &new, to).unwrap();
        };
        copy(&raw, &old);
        let changed = File::options().write(true).open(&old).unwrap();
        // In what has bytes, in zeros of a block with some, and in one of zeros alone.
        for at in [100, size + size / 2, 2 * size + 7] {
            changed.write_all_at(b"other", at).unwrap();
        }
        // Behind the end.
        changed.write_all_at(b"more", 6 * size).unwrap();
        for shared in [false, true] {
            std::fs::remove_file(&new).unwrap();
            if shared {
                copy(&old, &new);
            }
            let seed = Seed {
                disk: Some(File::open(&old).unwrap()),
                decoded: decoded.iter().filter_map(known).collect(),
            };
            let unpacked = unpack(&xz, &new, seed, shared);
            assert!(std::fs::read(&new).unwrap() == std::fs::read(&raw).unwrap());
            assert_eq!((unpacked.copied, unpacked.changed), (size + 5000, 2 * size));
            assert_eq!(unpacked.blocks, decoded);
            assert!(new.metadata().unwrap().blocks() * 512 < 1 << 20);
        }
    }
}
