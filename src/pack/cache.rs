//! Blocks that were encoded before, in `STATE/blocks`: of equal bytes and settings, equal blocks.
//!
//! Every entry is a file of its own, which never changes. Nothing in it is needed: an entry that is
//! damaged, or gone, is encoded again.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::container::Record;
use super::encode::Block;
use crate::error::Result;
use crate::host::lru::{self, Usage};
use crate::host::statedir;
use crate::units::Size;

/// Unless imgforge.yaml says otherwise: enough for the blocks of dozens of images.
const DEFAULT_LIMIT: Size = Size::gib(10);

/// Digest and the two sizes of the record.
const HEAD: usize = 32 + 16;

/// What an unfinished entry's name begins with.
const UNFINISHED: &str = ".new-";

/// An unfinished entry of this age has no writer any more.
const STALE: Duration = Duration::from_secs(3600);

/// The block cache of a state directory.
#[derive(Debug)]
pub struct BlockCache {
    dir: PathBuf,
    limit: Size,
    damaged: AtomicU64,
    grown: AtomicU64,
}

/// What decides the bytes of an encoded block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockKey([u8; 32]);

impl BlockKey {
    /// The key of a block with these bytes, encoded with the settings of this fingerprint.
    pub(super) fn of(fingerprint: &str, plain: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("imgforge 2026 block cache");
        hasher.update(&(fingerprint.len() as u64).to_le_bytes());
        hasher.update(fingerprint.as_bytes());
        hasher.update(blake3::hash(plain).as_bytes());
        BlockKey(*hasher.finalize().as_bytes())
    }
}

impl BlockCache {
    /// The cache below the state directory, which need not exist yet.
    ///
    /// # Errors
    /// When others could put blocks there: whoever can knows how to name any bytes by a digest.
    pub fn open(state: &Path, limit: Option<Size>) -> Result<Self> {
        statedir::check(state)?;
        Ok(BlockCache {
            dir: state.join("blocks"),
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            damaged: AtomicU64::new(0),
            grown: AtomicU64::new(0),
        })
    }

    /// The block of this key, if there is a sound one; it counts as used now.
    pub(super) fn get(&self, key: &BlockKey) -> Option<Block> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let mut content = Vec::with_capacity(file.metadata().ok()?.len() as usize + 1);
        let read = file.read_to_end(&mut content);
        let block = read.ok().and_then(|_| parse(key, &content));
        if block.is_none() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            drop(std::fs::remove_file(&path));
            return None;
        }
        lru::touch(&file);
        block
    }

    /// Keeps a block. A cache that cannot be written is no reason to fail.
    pub(super) fn put(&self, key: &BlockKey, block: &Block) {
        if self.write(key, block).is_ok() {
            let size = (HEAD + block.bytes.len()) as u64;
            self.grown.fetch_add(size, Ordering::Relaxed);
        }
    }

    fn write(&self, key: &BlockKey, block: &Block) -> std::io::Result<()> {
        let path = self.path(key);
        let dir = path.parent().unwrap_or(&self.dir);
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(dir)?;
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(dir)?;
        let sizes = sizes(&block.record);
        file.write_all(&digest(key, &sizes, &block.bytes))?;
        file.write_all(&sizes)?;
        file.write_all(&block.bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// How many damaged entries were met.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Makes room after blocks were added: the least recently used go. Returns the bytes freed.
    pub fn tidy(&self) -> u64 {
        if self.grown.swap(0, Ordering::Relaxed) == 0 {
            return 0;
        }
        self.free(self.usage().bytes.saturating_sub(self.limit.as_bytes()))
    }

    /// Removes the least recently used blocks until the cache is within its limit, and what
    /// killed processes left. Returns the bytes freed.
    pub fn shrink(&self) -> u64 {
        for path in lru::files(&self.dir).filter(|path| lru::is_unfinished(path)) {
            if lru::is_older(&path, STALE) {
                drop(std::fs::remove_file(path));
            }
        }
        self.free(self.usage().bytes.saturating_sub(self.limit.as_bytes()))
    }

    /// Removes the least recently used blocks until `goal` bytes are free; returns the bytes freed.
    pub fn free(&self, goal: u64) -> u64 {
        lru::evict(&self.dir, goal).0
    }

    /// How much the cache holds.
    pub fn usage(&self) -> Usage {
        lru::usage(&self.dir)
    }

    fn path(&self, key: &BlockKey) -> PathBuf {
        let name = hex::encode(key.0);
        self.dir.join(&name[..2]).join(&name[2..])
    }
}

fn sizes(record: &Record) -> [u8; 16] {
    let mut sizes = [0; 16];
    sizes[..8].copy_from_slice(&record.unpadded.to_le_bytes());
    sizes[8..].copy_from_slice(&record.uncompressed.to_le_bytes());
    sizes
}

/// The key is part of it: an entry under a wrong name is not taken for another one.
fn digest(key: &BlockKey, sizes: &[u8; 16], bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    *hasher.update(sizes).update(bytes).finalize().as_bytes()
}

fn parse(key: &BlockKey, content: &[u8]) -> Option<Block> {
    let (head, bytes) = content.split_at_checked(HEAD)?;
    let (expected, sizes) = head.split_first_chunk::<32>()?;
    let sizes: &[u8; 16] = sizes.try_into().ok()?;
    if digest(key, sizes, bytes) != *expected {
        return None;
    }
    let number = |at: usize| {
        let bytes = sizes[at..at + 8].try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    Some(Block {
        bytes: bytes.to_vec(),
        record: Record {
            unpadded: number(0)?,
            uncompressed: number(8)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn block(fill: u8, len: usize) -> Block {
        Block {
            bytes: vec![fill; len],
            record: Record {
                unpadded: len as u64,
                uncompressed: 7,
            },
        }
    }

    fn key(n: u8) -> BlockKey {
        BlockKey::of("settings", &[n])
    }

    #[test]
    fn a_block_comes_back_for_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlockCache::open(dir.path(), None).unwrap();
        assert_eq!(cache.get(&key(1)), None);
        cache.put(&key(1), &block(1, 100));
        assert_eq!(cache.get(&key(1)), Some(block(1, 100)));
        assert_eq!(cache.get(&BlockKey::of("other settings", &[1])), None);
        assert_eq!(cache.damaged(), 0);
        std::fs::create_dir_all(cache.path(&key(2)).parent().unwrap()).unwrap();
        std::fs::copy(cache.path(&key(1)), cache.path(&key(2))).unwrap();
        assert_eq!(cache.get(&key(2)), None);
        assert_eq!(cache.damaged(), 1);
    }

    #[test]
    fn a_damaged_entry_is_seen_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlockCache::open(dir.path(), None).unwrap();
        let path = cache.path(&key(1));
        cache.put(&key(1), &block(1, 100));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, bad).unwrap();
            assert_eq!(cache.get(&key(1)), None, "{at}");
            assert!(!path.exists());
        }
        std::fs::write(&path, &good[..20]).unwrap();
        assert_eq!(cache.get(&key(1)), None);
        std::fs::write(&path, &good).unwrap();
        assert_eq!(cache.get(&key(1)), Some(block(1, 100)));
    }

    #[test]
    fn the_least_recently_used_go_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let each = 1000 + HEAD as u64;
        let cache = BlockCache::open(dir.path(), Some(Size::bytes(2 * each))).unwrap();
        for n in 1..=3 {
            cache.put(&key(n), &block(n, 1000));
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(n));
            let file = File::open(cache.path(&key(n))).unwrap();
            file.set_modified(at).unwrap();
        }
        // Number 1 is used, so that number 2 is the oldest.
        assert!(cache.get(&key(1)).is_some());
        assert_eq!(cache.tidy(), each);
        assert_eq!(cache.tidy(), 0);
        let there = [1, 2, 3].map(|n| cache.path(&key(n)).exists());
        assert_eq!(there, [true, false, true]);
        assert_eq!(cache.usage().files, 2);
        assert_eq!(cache.free(1), each);
        assert_eq!(cache.usage().bytes, each);
    }

    #[test]
    fn what_a_killed_process_left_goes_once_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlockCache::open(dir.path(), None).unwrap();
        cache.put(&key(1), &block(1, 10));
        let path = cache.path(&key(1));
        let [old, fresh] = [".new-old", ".new-fresh"].map(|name| path.with_file_name(name));
        std::fs::write(&fresh, "x").unwrap();
        File::create(&old)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        cache.shrink();
        assert!(path.exists() && fresh.exists() && !old.exists());
        assert_eq!(cache.usage().files, 1);
    }
}
