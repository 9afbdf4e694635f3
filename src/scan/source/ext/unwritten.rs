//! Files with extents that are allocated and not written, which read as zeros.
//!
//! ext4-view 1.0.0 takes the length of such an extent, which is 32768 more than its blocks, for a number
//! of blocks: it gives what lay there before, and that in place of the extents behind it as well
//! (`findings/ext4-view-preallocated-extents.sh`). The layout is that of the kernel's
//! Documentation/filesystems/ext4. Flags that call inodes unused are not believed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::scan::raw;

/// An extent that is longer is unwritten, by what it is longer.
const LONGEST: u16 = 1 << 15;

/// How deep a tree of extents can be.
const DEEPEST: u16 = 5;

/// Bytes of inodes that are read at once.
const CHUNK: u64 = 1 << 20;

/// Refuses the ext4 at `start` if a file of it has such extents, or if its journal, which is not read
/// here, may have some.
///
/// # Errors
/// When it has, or cannot be read.
pub(super) fn refuse(raw: &Path, start: u64) -> Result<()> {
    let doing = || format!("looking for unwritten extents in {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let mut block = [0; 1024];
    file.read_exact_at(&mut block, start + 1024).doing(doing)?;
    let Some(system) = System::of(&file, start, &block).doing(doing)? else {
        return Ok(());
    };
    let what = match system.any()? {
        Some(inode) => format!("inode {inode} has blocks that are allocated and not written"),
        None if system.unfinished => "its journal is unfinished".to_owned(),
        None => return Ok(()),
    };
    Err(Error::stage("the file system is for an appliance").cause(what))
}

struct System<'f> {
    file: &'f File,
    start: u64,
    block: u64,
    inode: u64,
    descriptor: u64,
    first: u64,
    groups: u64,
    per_group: u64,
    blocks: u64,
    unfinished: bool,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16_at(bytes, at)) | u64::from(u16_at(bytes, at + 2)) << 16
}

fn damaged() -> io::Error {
    io::Error::other("the file system is damaged (`e2fsck -fn` tells more)")
}

impl<'f> System<'f> {
    /// The file system of this superblock; `None` for ext2 and ext3, which have no extents.
    fn of(file: &'f File, start: u64, block: &[u8]) -> io::Result<Option<System<'f>>> {
        const NEEDS_RECOVERY: u64 = 0x4;
        const EXTENTS: u64 = 0x40;
        const WIDE: u64 = 0x80;
        let features = u32_at(block, 0x60);
        if features & EXTENTS == 0 {
            return Ok(None);
        }
        let (wide, scale) = (features & WIDE != 0, u32_at(block, 0x18));
        let high = if wide { u32_at(block, 0x150) } else { 0 };
        let blocks = u32_at(block, 0x4) | high << 32;
        let (first, in_group) = (u32_at(block, 0x14), u32_at(block, 0x20));
        let (inode, descriptor) = (u16_at(block, 0x58), u16_at(block, 0xfe));
        let descriptor = if wide { descriptor } else { 32 };
        if scale > 6 || inode < 128 || descriptor < 32 || in_group == 0 || blocks < first {
            return Err(damaged());
        }
        Ok(Some(System {
            file,
            start,
            block: 1024 << scale,
            inode: u64::from(inode),
            descriptor: u64::from(descriptor),
            first,
            groups: (blocks - first).div_ceil(in_group),
            per_group: u32_at(block, 0x28),
            blocks,
            unfinished: features & NEEDS_RECOVERY != 0,
        }))
    }

    fn read(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| damaged())?];
        self.file.read_exact_at(&mut bytes, self.start + at)?;
        Ok(bytes)
    }

    fn at(&self, block: u64) -> io::Result<u64> {
        let inside = block < self.blocks;
        let at = block.checked_mul(self.block).filter(|_| inside);
        at.ok_or_else(damaged)
    }

    /// The number of the first inode that has such an extent.
    fn any(&self) -> Result<Option<u64>> {
        let doing = || "reading the inodes of a file system".to_owned();
        // No two trees share a block.
        let mut nodes = self.blocks;
        for group in 0..self.groups {
            interrupt::check()?;
            let place = self.at(self.first + 1).doing(doing)? + group * self.descriptor;
            let head = self.read(place, self.descriptor).doing(doing)?;
            let high = if head.len() >= 64 {
                u32_at(&head, 0x28)
            } else {
                0
            };
            let table = self.at(u32_at(&head, 0x8) | high << 32).doing(doing)?;
            let part = self.start + table..self.start + table + self.per_group * self.inode;
            for data in raw::data(self.file, &part) {
                // Whole inodes, also where data begins within one.
                let begin = (data.start - part.start) / self.inode * self.inode;
                let end = data.end - part.start;
                let step = CHUNK / self.inode * self.inode;
                for at in (begin..end).step_by(usize::try_from(step.max(self.inode)).unwrap_or(1)) {
                    let len = step.max(self.inode).min(part.end - part.start - at);
                    let chunk = self.read(table + at, len).doing(doing)?;
                    for (index, inode) in chunk.chunks_exact(self.inode as usize).enumerate() {
                        if self.is_unwritten(inode, &mut nodes).doing(doing)? {
                            let before = group * self.per_group + at / self.inode;
                            return Ok(Some(before + index as u64 + 1));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a file is of extents of which one is unwritten.
    fn is_unwritten(&self, inode: &[u8], nodes: &mut u64) -> io::Result<bool> {
        const REGULAR: u16 = 0o100_000;
        const BY_EXTENTS: u64 = 0x8_0000;
        let regular = u16_at(inode, 0) & 0o170_000 == REGULAR;
        if !regular || u32_at(inode, 0x20) & BY_EXTENTS == 0 {
            return Ok(false);
        }
        self.has_unwritten(&inode[0x28..0x28 + 60], DEEPEST + 1, nodes)
    }

    fn has_unwritten(&self, node: &[u8], above: u16, nodes: &mut u64) -> io::Result<bool> {
        const MAGIC: u16 = 0xf30a;
        let (entries, depth) = (u16_at(node, 2), u16_at(node, 6));
        if u16_at(node, 0) != MAGIC || depth >= above {
            // Who reads the file says so.
            return Ok(false);
        }
        for entry in node[12..].chunks_exact(12).take(usize::from(entries)) {
            if depth == 0 {
                if u16_at(entry, 4) > LONGEST {
                    return Ok(true);
                }
                continue;
            }
            *nodes = nodes.checked_sub(1).ok_or_else(damaged)?;
            let child = u32_at(entry, 4) | u64::from(u16_at(entry, 8)) << 32;
            let child = self.read(self.at(child)?, self.block)?;
            if self.has_unwritten(&child, depth, nodes)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    fn debugfs(disk: &Path, requests: &[String]) {
        for request in requests {
            let debugfs = Program::new("debugfs").args(["-w", "-R", request]);
            debugfs.arg(disk).run().unwrap();
        }
    }

    fn disk(dir: &Path, kind: &str) -> std::path::PathBuf {
        let disk = dir.join("disk");
        File::create(&disk).unwrap().set_len(64 << 20).unwrap();
        let make = Program::new("mke2fs").args(["-q", "-F", "-b", "1024", "-t", kind]);
        make.arg(&disk).run().unwrap();
        disk
    }

    #[test]
    fn an_unwritten_extent_is_found_in_an_inode_and_in_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, vec![b'x'; 300 << 10]).unwrap();
        let disk = disk(dir.path(), "ext4");
        let write = format!("write {} plain", file.display());
        debugfs(&disk, std::slice::from_ref(&write));
        refuse(&disk, 0).unwrap();
        debugfs(
            &disk,
            &["write /dev/null one".into(), "fallocate one 1 8".into()],
        );
        let refused = refuse(&disk, 0).unwrap_err().render();
        assert!(refused.contains("inode 13 has blocks"), "{refused}");
        // A hole after each block: its extents do not fit into the inode.
        debugfs(&disk, &["rm one".into(), write.replace("plain", "many")]);
        let punch = |at: u64| format!("punch many {at} {at}");
        debugfs(
            &disk,
            &(0..20).map(|n| punch(2 * n + 1)).collect::<Vec<_>>(),
        );
        refuse(&disk, 0).unwrap();
        debugfs(&disk, &["fallocate many 39 39".into()]);
        assert!(refuse(&disk, 0).is_err());
    }

    #[test]
    fn an_unfinished_journal_is_for_the_appliance_and_ext3_has_no_extents() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path(), "ext4");
        debugfs(&disk, &["feature needs_recovery".into()]);
        let refused = refuse(&disk, 0).unwrap_err().render();
        assert!(refused.contains("its journal is unfinished"), "{refused}");
        let other = tempfile::tempdir().unwrap();
        refuse(&self::disk(other.path(), "ext3"), 0).unwrap();
    }
}
