//! Directories, and paths through them.

use std::io;

use super::{Fs, Inode, damaged, u16_at, u32_at};

/// What a name of a directory takes in memory beside its bytes, with what its allocation costs.
pub(super) const NAMED: usize = size_of::<(Vec<u8>, u64)>() + 16;

/// How many links one path may go through, as on Linux.
const LINKS: usize = 40;

impl Fs<'_> {
    /// Names and inodes of a directory.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or has what is not known here.
    pub(crate) fn list(&self, dir: &Inode) -> io::Result<Vec<(Vec<u8>, u64)>> {
        let mut all = vec![];
        self.each(dir, |name, inode| {
            self.charge(NAMED + name.len())?;
            all.push((name.to_vec(), inode));
            Ok(true)
        })?;
        Ok(all)
    }

    /// The file with this path; links are followed.
    ///
    /// # Errors
    /// When a directory on the way cannot be read.
    pub(crate) fn find(&self, path: &str) -> io::Result<Option<Inode>> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path.split(|byte| *byte == b'/').rev();
            parts.map(<[u8]>::to_vec).collect()
        };
        let (mut left, mut links) = (parts(path.as_bytes()), 0);
        let mut way = vec![self.root()?];
        while let (Some(part), Some(dir)) = (left.pop(), way.last()) {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    way.truncate((way.len() - 1).max(1));
                    continue;
                }
                _ => {}
            }
            let mut found = None;
            if dir.is_dir() {
                self.each(dir, |name, inode| {
                    found = (name == part).then_some(inode);
                    Ok(found.is_none())
                })?;
            }
            let Some(found) = found else {
                return Ok(None);
            };
            let inode = self.inode(found)?;
            if !inode.is_link() {
                way.push(inode);
                continue;
            }
            links += 1;
            if links > LINKS {
                return Ok(None);
            }
            let to = self.link(&inode)?;
            if to.starts_with(b"/") {
                way.truncate(1);
            }
            left.extend(parts(&to));
        }
        Ok(way.pop())
    }

    /// Gives `take` names and inodes of a directory while it wants more. An index is hidden in entries
    /// without an inode.
    fn each(
        &self,
        dir: &Inode,
        mut take: impl FnMut(&[u8], u64) -> io::Result<bool>,
    ) -> io::Result<()> {
        let runs = self.runs(dir)?;
        // A kernel has an error or passes over the rest, and e2fsck(8) brings it back.
        if runs.iter().map(|run| run.len).sum::<u64>() != dir.size
            || runs.last().is_some_and(|run| run.at + run.len != dir.size)
        {
            return Err(damaged("a directory has holes, or blocks behind its end"));
        }
        for run in runs {
            let first = (run.place - self.start) / self.block;
            for number in first..first + run.len / self.block {
                if !entries(&self.own_block(number)?, &mut take)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Gives `take` the entries of one block of a directory; whether it wants more.
fn entries(
    block: &[u8],
    take: &mut impl FnMut(&[u8], u64) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut at = 0;
    while at + 8 <= block.len() {
        let length = usize::from(u16_at(block, at + 4));
        let name = usize::from(block[at + 6]);
        if length < 8 || at + length > block.len() || name + 8 > length {
            return Err(damaged("a directory"));
        }
        let text = &block[at + 8..at + 8 + name];
        let inode = u32_at(block, at);
        if inode != 0 && text != b"." && text != b".." {
            if text.is_empty() || text.iter().any(|byte| matches!(byte, 0 | b'/')) {
                let shown = String::from_utf8_lossy(text);
                return Err(damaged(&format!("{shown:?} is not a valid name of a file")));
            }
            if !take(text, inode.into())? {
                return Ok(false);
            }
        }
        at += length;
    }
    Ok(true)
}
