//! The block map, `BLOB.blocks`: the digest of every compressed block, beside each published blob.
//!
//! Blocks that an earlier blob has, too, need not be fetched. The map needs no trust: whatever it
//! says, the blob that is put together must have the digest that the signed index says.
//!
//! ```text
//! imgforge-blocks 1
//! size 42012345
//! DIGEST LENGTH [COUNT]      the first 16 bytes of the BLAKE3 of a block as it is stored
//! ```

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use crate::error::{Context as _, Result};
use crate::pack::read::Layout;

/// What a map's file name adds to its blob's.
pub const SUFFIX: &str = ".blocks";

const FIRST_LINE: &str = "imgforge-blocks 1";

/// Bytes of a `.xz` file before its first block.
pub(super) const HEADER: u64 = 12;

/// More blocks than any blob has.
const MOST_BLOCKS: usize = 4 << 20;

/// The first half of a block's BLAKE3: equal blocks are found by it, nothing is trusted for it.
pub(super) type Digest = [u8; 16];

/// The compressed blocks of a blob, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Map {
    /// Size of the blob in bytes.
    pub(super) size: u64,
    /// Digest and stored length of each block.
    pub(super) blocks: Vec<(Digest, u64)>,
}

/// The digest of a block with this BLAKE3.
pub(super) fn half(hash: &blake3::Hash) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.as_bytes()[..16]);
    digest
}

/// The map of a blob, as text, to be published beside it.
///
/// # Errors
/// When the file cannot be read or is no `.xz` file.
pub fn of_file(xz: &Path) -> Result<String> {
    let doing = || format!("reading {}", xz.display());
    let mut file = File::open(xz).doing(doing)?;
    let layout = Layout::read(&file).doing(doing)?;
    let mut blocks = Vec::with_capacity(layout.blocks().len());
    for place in layout.blocks() {
        file.seek(SeekFrom::Start(place.offset)).doing(doing)?;
        let mut hasher = blake3::Hasher::new();
        let part = (&file).take(place.stored);
        hasher.update_reader(part).doing(doing)?;
        blocks.push((half(&hasher.finalize()), place.stored));
    }
    let size = layout.stored();
    Ok(Map { size, blocks }.text())
}

impl Map {
    /// The map as text. Runs of equal blocks, which empty space is, are one line.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nsize {}\n", self.size);
        for run in self.blocks.chunk_by(|one, other| one == other) {
            let Some((digest, length)) = run.first() else {
                continue;
            };
            // Writing to a string cannot fail.
            let _ = match run.len() {
                1 => writeln!(text, "{} {length}", hex::encode(digest)),
                count => writeln!(text, "{} {length} {count}", hex::encode(digest)),
            };
        }
        text
    }

    /// Reads a map; nothing when it is none, or of a later version.
    pub(crate) fn parse(text: &str) -> Option<Map> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let size = lines.next()?.strip_prefix("size ")?.parse().ok()?;
        let (mut blocks, mut sum) = (vec![], 0u64);
        for line in lines {
            let mut words = line.split(' ');
            let mut digest = Digest::default();
            hex::decode_to_slice(words.next()?, &mut digest).ok()?;
            let length: u64 = words.next()?.parse().ok()?;
            let count: usize = words.next().map_or(Some(1), |count| count.parse().ok())?;
            if count > MOST_BLOCKS - blocks.len() || words.next().is_some() {
                return None;
            }
            sum = sum.checked_add(length.checked_mul(count as u64)?)?;
            blocks.extend(std::iter::repeat_n((digest, length), count));
        }
        // What is before the first block is no block's, either.
        (sum.checked_add(HEADER)? <= size).then_some(Map { size, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_read_back_and_runs_are_short() {
        let [one, two] = ["one", "two"].map(|block| half(&blake3::hash(block.as_bytes())));
        let mut blocks = vec![(one, 100), (two, 32)];
        blocks.extend([(one, 40); 1000]);
        let map = Map {
            size: 40_132 + 44,
            blocks,
        };
        let text = map.text();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert_eq!(Map::parse(&text).unwrap(), map);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let digest = hex::encode(half(&blake3::hash(b"x")));
        for bad in [
            String::new(),
            "imgforge-blocks 2\nsize 1\n".into(),
            format!("imgforge-blocks 1\nsize 9\n{digest} 10\n"),
            format!("imgforge-blocks 1\nsize 21\n{digest} 10\n"),
            format!("imgforge-blocks 1\nsize 10\n{digest} 1 18446744073709551615\n"),
            format!("imgforge-blocks 1\nsize 10\n{digest} 18446744073709551615 2\n"),
            format!("imgforge-blocks 1\nsize 10\n{digest} 1 1 1\n"),
            "imgforge-blocks 1\nsize 10\nxx 1\n".into(),
        ] {
            assert_eq!(Map::parse(&bad), None, "{bad}");
        }
    }
}
