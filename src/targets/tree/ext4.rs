//! The files of an ext4 file system that was unmounted in order, from its own structures.
//!
//! The layout is that of the kernel's Documentation/filesystems/ext4. What is not known here (an
//! unfinished journal, inline data, encryption, files without extents) is for the appliance.
//!
//! A disk may be anybody's: every number is compared with what the file system can have. Each
//! directory counts once, blocks lie in the file system, the extents of a file are in order, no two
//! directories or trees of extents share a block, and what is read of those is never more than the
//! file has bytes that are no holes. Names count before they are remembered.

mod numbers;
mod xattrs;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::bound::{Bound, LEAST, LONGEST_PATH};
use super::{Content, Kind, Node, Run};
use numbers::{u16_at, u32_at};

/// Features that change how files are found, and are known here: types in directories, extents,
/// 64 bits, flexible groups, a seed for checksums, large directories, multiple-mount protection.
const KNOWN: u32 = 0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000 | 0x4000;

const ROOT: u64 = 2;

/// How deep a tree of extents can be.
const DEEPEST: u16 = 5;

/// A file system's files.
#[derive(Debug)]
pub(crate) struct System {
    /// Its files; the root's path is empty.
    pub(crate) nodes: Vec<Node>,
}

/// Reads the file system at `start`; `None` when it has what is not known here.
pub(crate) fn read(file: &File, start: u64, volume: u32) -> io::Result<Option<System>> {
    let mut block = [0; 1024];
    file.read_exact_at(&mut block, start + 1024)?;
    let Some(fs) = Fs::open(file, start, volume, &block)? else {
        return Ok(None);
    };
    let mut nodes = vec![];
    let known = fs.walk(&mut nodes)?;
    Ok(known.then_some(System { nodes }))
}

fn damaged(what: &str) -> io::Error {
    io::Error::other(format!(
        "the file system is damaged: {what} (`e2fsck -fn` tells more)"
    ))
}

struct Fs<'a> {
    file: &'a File,
    start: u64,
    volume: u32,
    block: u64,
    /// Blocks of the file system that are there.
    blocks: u64,
    inodes: u64,
    first: u64,
    per_group: u64,
    inode: u64,
    descriptor: u64,
    /// Bytes of directories and of trees of extents that may still be read.
    unread: Cell<u64>,
    /// The blocks of those that were read.
    own: RefCell<HashSet<u64>>,
    bound: RefCell<Bound>,
}

/// What a name of a directory takes in memory beside its bytes, with what its allocation costs.
const NAMED: usize = size_of::<(Vec<u8>, u64)>() + 16;

/// What a number of [`Fs::own`] takes in memory.
const NUMBERED: usize = 16;

impl<'a> Fs<'a> {
    fn open(file: &'a File, start: u64, volume: u32, block: &[u8]) -> io::Result<Option<Fs<'a>>> {
        let incompatible = u32_at(block, 0x60);
        let scale = u32_at(block, 0x18);
        if u16_at(block, 0x38) != 0xef53
            || incompatible & !KNOWN != 0
            || incompatible & 0x40 == 0
            || scale > 6
        {
            return Ok(None);
        }
        let wide = incompatible & 0x80 != 0;
        let size = 1024 << scale;
        let high = if wide { u32_at(block, 0x150) } else { 0 };
        let promised = u64::from(u32_at(block, 4)) | u64::from(high) << 32;
        let meta = file.metadata()?;
        let there = meta.size().saturating_sub(start);
        // A file system that compresses may have stored less than there is.
        let stored = there.min((meta.blocks() * 512).saturating_add(LEAST));
        let fs = Fs {
            file,
            start,
            volume,
            block: size,
            blocks: promised.min(there / size),
            inodes: u64::from(u32_at(block, 0)),
            first: u64::from(u32_at(block, 0x14)),
            per_group: u64::from(u32_at(block, 0x28)).max(1),
            inode: u64::from(u16_at(block, 0x58)).max(128),
            descriptor: match wide {
                true => u64::from(u16_at(block, 0xfe)).max(32),
                false => 32,
            },
            unread: Cell::new(stored),
            own: RefCell::default(),
            bound: RefCell::new(Bound::of(stored)),
        };
        let sized = |bytes: u64| bytes.is_power_of_two() && bytes <= size;
        match sized(fs.inode) && sized(fs.descriptor) {
            true => Ok(Some(fs)),
            false => Err(damaged("its superblock")),
        }
    }

    /// `len` bytes from `at` on in block `number`.
    fn part(&self, number: u64, at: u64, len: u64) -> io::Result<Vec<u8>> {
        if number >= self.blocks {
            return Err(damaged("a block lies outside"));
        }
        let mut bytes = vec![0; len as usize];
        let place = self.start + number * self.block + at;
        self.file.read_exact_at(&mut bytes, place)?;
        Ok(bytes)
    }

    /// A block of a directory or of a tree of extents: no two of them share one.
    fn own_block(&self, number: u64) -> io::Result<Vec<u8>> {
        let left = self.unread.get().checked_sub(self.block);
        let left = left.ok_or_else(|| damaged("its directories are larger than itself"))?;
        self.unread.set(left);
        if !self.own.borrow_mut().insert(number) {
            return Err(damaged("two directories or trees of extents share a block"));
        }
        self.bound.borrow_mut().charge(NUMBERED)?;
        self.part(number, 0, self.block)
    }

    /// Whether everything was known.
    fn walk(&self, nodes: &mut Vec<Node>) -> io::Result<bool> {
        let Some(root) = self.node(ROOT, vec![])? else {
            return Ok(false);
        };
        let mut seen = HashSet::from([ROOT]);
        let mut dirs = vec![root.clone()];
        nodes.push(root);
        while let Some(dir) = dirs.pop() {
            for (name, inode) in self.list(&dir)? {
                let path = match dir.path.as_slice() {
                    b"" if name == b"lost+found" => continue,
                    b"" => name,
                    parent => [parent, b"/", &name].concat(),
                };
                if path.len() > LONGEST_PATH {
                    return Ok(false);
                }
                let Some(node) = self.node(inode, path)? else {
                    return Ok(false);
                };
                self.bound.borrow_mut().take(&node)?;
                if node.kind == Kind::Directory {
                    if !seen.insert(inode) {
                        let shown = String::from_utf8_lossy(&node.path);
                        return Err(damaged(&format!("the directory /{shown} is in two places")));
                    }
                    dirs.push(node.clone());
                }
                nodes.push(node);
            }
        }
        Ok(true)
    }

    fn raw_inode(&self, number: u64) -> io::Result<Vec<u8>> {
        if number > self.inodes {
            return Err(damaged("a name is of no inode"));
        }
        let at = |block: u64, byte: u64| (block + byte / self.block, byte % self.block);
        let (group, index) = ((number - 1) / self.per_group, (number - 1) % self.per_group);
        let (block, byte) = at(self.first + 1, group * self.descriptor);
        let descriptor = self.part(block, byte, self.descriptor)?;
        let mut table = u64::from(u32_at(&descriptor, 8));
        if self.descriptor >= 64 {
            table |= u64::from(u32_at(&descriptor, 0x28)) << 32;
        }
        if table >= self.blocks {
            return Err(damaged("a table of inodes lies outside"));
        }
        let (block, byte) = at(table, index * self.inode);
        self.part(block, byte, self.inode)
    }

    /// A file; `None` when it is stored in a way that is not known here.
    fn node(&self, number: u64, path: Vec<u8>) -> io::Result<Option<Node>> {
        let inode = self.raw_inode(number)?;
        let (mode, flags) = (u16_at(&inode, 0), u32_at(&inode, 0x20));
        let kind = mode & 0o170_000;
        let size = u64::from(u32_at(&inode, 4)) | u64::from(u32_at(&inode, 0x6c)) << 32;
        if size > self.block << 32 {
            return Err(damaged("a file is larger than can be"));
        }
        let (extents, inline) = (flags & 0x8_0000 != 0, flags & 0x1000_0000 != 0);
        let stored = matches!(kind, 0o100_000 | 0o040_000 | 0o120_000);
        let short = kind == 0o120_000 && size < 60 && !extents;
        if inline || (stored && !extents && !short && size > 0) {
            return Ok(None);
        }
        let runs = match stored && extents {
            true => match self.extents(&inode[0x28..0x64], DEEPEST, 0..1 << 32)? {
                Some(runs) => runs,
                None => return Ok(None),
            },
            false => vec![],
        };
        let Some(xattrs) = self.xattrs(&inode)? else {
            return Ok(None);
        };
        let wide =
            |low, high| u32::from(u16_at(&inode, low)) | u32::from(u16_at(&inode, high)) << 16;
        let mut node = Node {
            path,
            kind: Kind::Special,
            mode: u32::from(mode & 0o7777),
            uid: wide(2, 0x78),
            gid: wide(0x18, 0x7a),
            mtime: self.mtime(&inode),
            size: 0,
            inode: (self.volume, number),
            xattrs,
            content: Content::Runs(runs),
        };
        match kind {
            0o100_000 => (node.kind, node.size) = (Kind::File, size),
            0o040_000 => (node.kind, node.size) = (Kind::Directory, size),
            0o120_000 if short => {
                node.kind = Kind::Link(inode[0x28..0x28 + size as usize].to_vec());
            }
            0o120_000 => {
                let Content::Runs(runs) = &node.content else {
                    return Ok(None);
                };
                let whole = |run: &&Run| run.at == 0 && size < self.block;
                let Some(first) = runs.first().filter(whole) else {
                    return Ok(None);
                };
                let block = (first.place - self.start) / self.block;
                node.kind = Kind::Link(self.part(block, 0, size)?);
            }
            _ => {}
        }
        if !matches!(node.kind, Kind::File | Kind::Directory) {
            node.content = Content::Runs(vec![]);
        }
        Ok(Some(node))
    }

    fn mtime(&self, inode: &[u8]) -> i64 {
        let seconds = i64::from(u32_at(inode, 0x10) as i32);
        let extra = self.inode > 128 && u16_at(inode, 0x80) >= 12;
        match extra {
            true => seconds + (i64::from(u32_at(inode, 0x88) & 3) << 32),
            false => seconds,
        }
    }

    /// The runs of a node of the tree of extents, which tells of the blocks `within` of its file;
    /// those without data are holes.
    fn extents(
        &self,
        node: &[u8],
        deepest: u16,
        within: Range<u64>,
    ) -> io::Result<Option<Vec<Run>>> {
        let (magic, count, depth) = (
            u16_at(node, 0),
            usize::from(u16_at(node, 2)),
            u16_at(node, 6),
        );
        if magic != 0xf30a || depth > deepest || (count + 1) * 12 > node.len() {
            return Ok(None);
        }
        let entries: Vec<&[u8]> = node[12..].chunks_exact(12).take(count).collect();
        let mut runs = vec![];
        let mut free = within.start;
        for (index, entry) in entries.iter().enumerate() {
            let at = u64::from(u32_at(entry, 0));
            let next = entries.get(index + 1);
            let end = next.map_or(within.end, |next| u64::from(u32_at(next, 0)));
            let stored = u64::from(u16_at(entry, 4));
            // What is beyond is allocated, but not written.
            let len = if stored > 32768 {
                stored - 32768
            } else {
                stored
            };
            let len = if depth > 0 { 1 } else { len };
            if at < free || len == 0 || at + len > end || end > within.end {
                return Err(damaged("the extents of a file are not in order"));
            }
            free = at + len;
            if depth > 0 {
                let place = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                let below = self.own_block(place)?;
                match self.extents(&below, depth - 1, at..end)? {
                    Some(more) if !more.is_empty() || u16_at(&below, 2) > 0 => runs.extend(more),
                    _ => return Ok(None),
                }
                continue;
            }
            let place = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
            if place + len > self.blocks {
                return Err(damaged("a file lies outside"));
            }
            if stored <= 32768 {
                runs.push(Run {
                    at: at * self.block,
                    place: self.start + place * self.block,
                    len: len * self.block,
                });
            }
        }
        Ok(Some(runs))
    }

    /// Names and inodes of a directory. An index is hidden in entries without an inode.
    fn list(&self, dir: &Node) -> io::Result<Vec<(Vec<u8>, u64)>> {
        let mut all = vec![];
        let Content::Runs(runs) = &dir.content else {
            return Ok(all);
        };
        for run in runs {
            let first = (run.place - self.start) / self.block;
            for number in first..first + run.len / self.block {
                self.entries(&self.own_block(number)?, &mut all)?;
            }
        }
        Ok(all)
    }

    /// The entries of one block of a directory.
    fn entries(&self, block: &[u8], all: &mut Vec<(Vec<u8>, u64)>) -> io::Result<()> {
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
                self.bound.borrow_mut().charge(NAMED + name)?;
                all.push((text.to_vec(), u64::from(inode)));
            }
            at += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
