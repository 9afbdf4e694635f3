//! When a file was made and changed, and what tells that it was not.

use super::{Inode, u16_at, u32_at};

/// Where an inode has what changes although its file does not: who looked at it last, its checksum.
const ASIDE: [(usize, usize); 4] = [(0x08, 4), (0x7c, 2), (0x82, 2), (0x8c, 4)];

impl Inode {
    /// When it was changed last, its owner and permissions included: nanoseconds since 1970.
    pub(crate) fn changed(&self) -> i64 {
        self.time(0x0c, 0x84)
    }

    /// When its content was written last, as far as nobody has set that time.
    pub(crate) fn written(&self) -> i64 {
        self.time(0x10, 0x88)
    }

    /// How many names it has.
    pub(crate) fn names(&self) -> u16 {
        u16_at(&self.raw, 0x1a)
    }

    /// When it was made: nanoseconds since 1970; nothing where the file system does not keep that.
    pub(crate) fn born(&self) -> Option<i64> {
        self.has(0x94).then(|| self.time(0x90, 0x94))
    }

    /// Bytes that it takes on the file system.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let high = u64::from(u16_at(&self.raw, 0x74));
        (u64::from(u32_at(&self.raw, 0x1c)) | high << 32) * 512
    }

    /// Equal as long as nobody has changed the file: a digest of its number, times, size, owner,
    /// permissions, attributes in the inode, and of where its content lies.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut raw = self.raw.clone();
        for (at, len) in ASIDE {
            if let Some(bytes) = raw.get_mut(at..at + len) {
                bytes.fill(0);
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.number.to_le_bytes()).update(&raw);
        let digest = hasher.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    /// Whether the inode has the four bytes at `at`, which are behind its first 128.
    fn has(&self, at: usize) -> bool {
        let more = match self.raw.len() {
            128 => 0,
            _ => usize::from(u16_at(&self.raw, 0x80)),
        };
        self.raw.len().min(128 + more) >= at + 4
    }

    /// Seconds at `at`; two more bits of them, and nanoseconds, at `extra`.
    fn time(&self, at: usize, extra: usize) -> i64 {
        let seconds = i64::from(u32_at(&self.raw, at) as i32);
        let more = match self.has(extra) {
            true => u32_at(&self.raw, extra),
            false => 0,
        };
        let seconds = seconds + (i64::from(more & 3) << 32);
        seconds * 1_000_000_000 + i64::from(more >> 2).min(999_999_999)
    }
}
