//! Empties the journals of ext file systems.
//!
//! A journal keeps what it was written long after that is done: names of removed files, and pieces
//! of metadata that differ between two builds of the same. A clean one is needed by nobody.

use crate::error::Result;
use crate::ext4::{u16_at, u32_at};
use crate::guest::{Guestfs, Os};

/// Where the superblock of an ext file system is, and how long.
const SUPERBLOCK: (i64, i32) = (1024, 1024);

/// How much is read at a time, in bytes.
const PIECE: u64 = 1 << 20;

/// Unmounts everything and fills the journal of each ext file system with zeroes, but for the
/// journal's own superblock. What is not clean, or not as mke2fs makes it, is left alone.
///
/// # Errors
/// With libguestfs' own text.
pub fn empty_journals(guest: &Guestfs, os: &Os) -> Result<()> {
    guest.sync()?;
    guest.umount_all()?;
    for (device, kind) in &os.filesystems {
        if !matches!(kind.as_str(), "ext3" | "ext4") {
            continue;
        }
        let superblock = guest.read_device(device, SUPERBLOCK.1, SUPERBLOCK.0)?;
        let Some(journal) = Journal::of(&superblock) else {
            continue;
        };
        let block = journal.block as i32;
        let first = guest.read_device(device, block, (journal.runs[0].0 * journal.block) as i64)?;
        if !is_clean(&first) {
            continue;
        }
        for (at, len) in journal.ranges() {
            clear(guest, device, at, len)?;
        }
    }
    guest.sync()
}

fn clear(guest: &Guestfs, device: &str, at: u64, len: u64) -> Result<()> {
    for offset in (0..len).step_by(PIECE as usize) {
        let size = PIECE.min(len - offset) as i32;
        let here = (at + offset) as i64;
        let bytes = guest.read_device(device, size, here)?;
        // Written zeroes take room in an overlay: none where there are some already.
        let zero = |byte: &u8| *byte == 0;
        let Some(first) = bytes.iter().position(|byte| !zero(byte)) else {
            continue;
        };
        let last = bytes.iter().rposition(|byte| !zero(byte)).unwrap_or(first);
        guest.write_device(device, &vec![0; last - first + 1], here + first as i64)?;
    }
    Ok(())
}

/// Where a journal lies.
#[derive(Debug, PartialEq, Eq)]
struct Journal {
    /// Bytes of a block.
    block: u64,
    /// First block and number of blocks, in the journal's order; never empty.
    runs: Vec<(u64, u64)>,
}

impl Journal {
    /// The journal of the file system with this superblock. ext4's superblock has a copy of the
    /// journal inode's block map (`s_jnl_blocks`), here a tree of one level.
    fn of(superblock: &[u8]) -> Option<Journal> {
        if superblock.len() < SUPERBLOCK.1 as usize {
            return None;
        }
        let (magic, size_log, features) = (
            u16_at(superblock, 0x38),
            u32_at(superblock, 0x18),
            (u32_at(superblock, 0x5c), u32_at(superblock, 0x60)),
        );
        let has_journal = features.0 & 0x4 != 0;
        let needs_recovery = features.1 & 0x4 != 0;
        let copied = superblock[0xfd] == 1;
        let tree = &superblock[0x10c..0x10c + 60];
        let flat = u16_at(tree, 0) == 0xf30a && u16_at(tree, 6) == 0;
        if magic != 0xef53 || size_log > 6 || !has_journal || needs_recovery || !copied || !flat {
            return None;
        }
        let entries = usize::from(u16_at(tree, 2));
        let mut runs = vec![];
        let mut next = 0;
        for entry in tree[12..].chunks_exact(12).take(entries) {
            let (logical, len) = (u32_at(entry, 0), u16_at(entry, 4));
            // More than 32768 blocks means that the run is not written yet.
            if logical != next || len > 0x8000 {
                return None;
            }
            next += u32::from(len);
            let first = u64::from(u16_at(entry, 6)) << 32 | u64::from(u32_at(entry, 8));
            runs.push((first, u64::from(len)));
        }
        let block = 1024 << size_log;
        (runs.len() == entries && !runs.is_empty()).then_some(Journal { block, runs })
    }

    /// Offset and length in bytes of what follows the journal's superblock.
    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.runs.iter().enumerate().map(|(n, (first, len))| {
            let skipped = u64::from(n == 0);
            let blocks = len - skipped;
            ((first + skipped) * self.block, blocks * self.block)
        })
    }
}

/// Whether a journal that begins with this block has nothing to replay.
fn is_clean(first: &[u8]) -> bool {
    let magic = first.get(..4) == Some(&[0xc0, 0x3b, 0x39, 0x98]);
    magic && first.get(0x1c..0x20) == Some(&[0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn the_journal_is_where_debugfs_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        std::fs::File::create(&disk)
            .unwrap()
            .set_len(300 << 20)
            .unwrap();
        Program::new("mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(&disk)
            .run()
            .unwrap();
        let bytes = std::fs::read(&disk).unwrap();
        let journal = Journal::of(&bytes[1024..2048]).unwrap();
        let blocks = Program::new("debugfs")
            .args(["-R", "blocks <8>"])
            .arg(&disk)
            .text()
            .unwrap();
        let blocks: Vec<u64> = blocks
            .split_whitespace()
            .map(|block| block.parse().unwrap())
            .collect();
        let ours: Vec<u64> = journal
            .runs
            .iter()
            .flat_map(|(first, len)| *first..first + len)
            .collect();
        assert_eq!(ours, blocks);
        let at = (journal.runs[0].0 * journal.block) as usize;
        assert!(is_clean(&bytes[at..at + 4096]));
        let cleared: u64 = journal.ranges().map(|(_, len)| len).sum();
        assert_eq!(cleared, (blocks.len() as u64 - 1) * journal.block);
    }

    #[test]
    fn what_is_not_clean_or_no_ext_is_left_alone() {
        assert_eq!(Journal::of(&[0; 1024]), None);
        assert_eq!(Journal::of(&[]), None);
        let mut first = vec![0; 4096];
        assert!(!is_clean(&first));
        first[..4].copy_from_slice(&[0xc0, 0x3b, 0x39, 0x98]);
        assert!(is_clean(&first));
        first[0x1f] = 1;
        assert!(!is_clean(&first));
    }
}
