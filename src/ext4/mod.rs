//! ext2, ext3 and ext4, read from their own structures: an appliance without hardware acceleration
//! reads ten megabytes a second.
//!
//! The layout is that of the kernel's Documentation/filesystems/ext4. What is not known here (an
//! unfinished journal, inline data, attributes in files of their own) is an error of the kind
//! [`Unsupported`](io::ErrorKind::Unsupported), and for an appliance. Checksums are not compared.
//!
//! A disk may be anybody's: every number is compared with what the file system can have. Each
//! directory counts once, blocks lie in the file system, the extents of a file are in order, no two
//! directories or maps of files share a block, and what is read of those is never more than the
//! file has bytes that are no holes. Names count before they are remembered.

mod at;
mod blocks;
mod bound;
mod names;
mod times;
mod walk;
mod xattrs;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

pub use at::At;
pub use blocks::{Run, read_at};
pub(crate) use bound::{Bound, LONGEST_PATH};
pub use walk::Walk;

use bound::LEAST;

/// An unfinished journal, which says what else is to be written.
const UNFINISHED: u32 = 0x4;

/// 64 bits.
const WIDE: u32 = 0x80;

/// Features that change how files are found, and are known here: types in directories, extents,
/// 64 bits, multiple-mount protection, flexible groups, a seed for checksums, large directories,
/// encryption, whose files say so themselves.
const KNOWN: u32 = 0x2 | 0x40 | WIDE | 0x100 | 0x200 | 0x2000 | LARGE_DIRECTORIES | 0x1_0000;

const LARGE_DIRECTORIES: u32 = 0x4000;

const ROOT: u64 = 2;

/// What a number of [`Fs::own`] takes in memory.
const NUMBERED: usize = 40;

fn damaged(what: &str) -> io::Error {
    io::Error::other(format!(
        "the file system is damaged: {what} (`e2fsck -fn` tells more)"
    ))
}

fn unknown(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// The number of 16 bits at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The number of 32 bits at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A file system.
#[derive(Debug)]
pub struct Fs<'f> {
    file: &'f dyn At,
    start: u64,
    features: u32,
    block: u64,
    /// Blocks of the file system that are there.
    blocks: u64,
    /// Blocks that are free, by what it says.
    free: u64,
    inodes: u64,
    per_group: u64,
    inode: u64,
    descriptor: u64,
    /// Bytes of directories and of maps of files that may still be read.
    unread: Cell<u64>,
    /// The blocks of those that were read: of which inode, and when.
    own: RefCell<HashMap<u64, (u64, u64)>>,
    /// The inode that is read, and how many were before.
    now: Cell<(u64, u64)>,
    bound: RefCell<Bound>,
}

/// What the file system knows of a file beside its names and its content.
#[derive(Debug, Clone)]
pub struct Inode {
    /// Equal for all names of one file.
    pub number: u64,
    /// Type and permissions, as stat(2) has them.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970 of its last change.
    pub mtime: i64,
    /// Size in bytes.
    pub size: u64,
    flags: u32,
    raw: Vec<u8>,
}

impl Inode {
    const FILE: u32 = 0o100_000;
    const LINK: u32 = 0o120_000;
    const DIRECTORY: u32 = 0o040_000;
    const OTHERS: [u32; 4] = [0o010_000, 0o020_000, 0o060_000, 0o140_000];

    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind() == Self::FILE
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind() == Self::DIRECTORY
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.kind() == Self::LINK
    }

    /// Major and minor number of a device.
    #[must_use]
    pub fn device(&self) -> Option<(u32, u32)> {
        if !matches!(self.kind(), 0o020_000 | 0o060_000) {
            return None;
        }
        // As the kernel's old_decode_dev() and new_decode_dev().
        let (old, new) = (u32_at(self.stored(), 0), u32_at(self.stored(), 4));
        Some(match old {
            0 => (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00),
            old => (old >> 8 & 0xff, old & 0xff),
        })
    }

    /// Whether content and names in it are readable only with its key (fscrypt).
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.flags & 0x800 != 0
    }

    fn has_extents(&self) -> bool {
        self.flags & 0x8_0000 != 0
    }

    /// Whether it is a link that is stored in the inode.
    fn is_short(&self) -> bool {
        self.is_link() && self.size < 60 && !self.has_extents()
    }

    /// Its target, if it is a short link; else the root of the map of its blocks.
    fn stored(&self) -> &[u8] {
        &self.raw[0x28..0x64]
    }
}

impl<'f> Fs<'f> {
    /// Opens the file system at `start`.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or has what is not known here.
    pub fn open(file: &'f File, start: u64) -> io::Result<Fs<'f>> {
        let meta = file.metadata()?;
        let there = meta.size().saturating_sub(start);
        // A file system that compresses may have stored less than there is.
        let stored = there.min((meta.blocks() * 512).saturating_add(LEAST));
        Self::open_within(file, start, there, stored)
    }

    /// Opens the file system at `start`, behind which are so many bytes, so many of them with data.
    ///
    /// # Errors
    /// As [`Fs::open`].
    pub(crate) fn open_within(
        file: &'f dyn At,
        start: u64,
        there: u64,
        stored: u64,
    ) -> io::Result<Fs<'f>> {
        let mut block = [0; 1024];
        file.fill(&mut block, start + 1024)?;
        let features = u32_at(&block, 0x60);
        let scale = u32_at(&block, 0x18);
        if features & UNFINISHED != 0 {
            return Err(unknown("its journal is unfinished"));
        }
        // Whatever the first revision says of inodes' size, they have 128 bytes.
        let first = u32_at(&block, 0x4c) == 0 && !matches!(u16_at(&block, 0x58), 0 | 128);
        if u16_at(&block, 0x38) != 0xef53 || features & !KNOWN != 0 || scale > 6 || first {
            return Err(unknown("it has features that are not known here"));
        }
        let wide = features & WIDE != 0;
        let size = 1024 << scale;
        let high = if wide { u32_at(&block, 0x150) } else { 0 };
        let promised = u64::from(u32_at(&block, 4)) | u64::from(high) << 32;
        let free = u64::from(u32_at(&block, 0x0c));
        let high = if wide { u32_at(&block, 0x158) } else { 0 };
        let fs = Fs {
            file,
            start,
            features,
            block: size,
            blocks: promised.min(there / size),
            free: free | u64::from(high) << 32,
            inodes: u64::from(u32_at(&block, 0)),
            per_group: u64::from(u32_at(&block, 0x28)).max(1),
            inode: u64::from(u16_at(&block, 0x58)).max(128),
            descriptor: match wide {
                true => u64::from(u16_at(&block, 0xfe)).max(32),
                false => 32,
            },
            unread: Cell::new(stored),
            own: RefCell::default(),
            now: Cell::default(),
            bound: RefCell::new(Bound::of(stored)),
        };
        let sized = |bytes: u64| bytes.is_power_of_two() && bytes <= size;
        match sized(fs.inode) && sized(fs.descriptor) {
            true => Ok(fs),
            false => Err(damaged("its superblock")),
        }
    }

    /// Bytes that are in use: by files, and by itself.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.blocks.saturating_sub(self.free) * self.block
    }

    /// Counts so many bytes that are remembered of its files.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn charge(&self, bytes: usize) -> io::Result<()> {
        self.bound.borrow_mut().charge(bytes)
    }

    /// `len` bytes from `at` on in block `number`.
    fn part(&self, number: u64, at: u64, len: u64) -> io::Result<Vec<u8>> {
        if number >= self.blocks {
            return Err(damaged("a block lies outside"));
        }
        let mut bytes = vec![0; len as usize];
        let place = self.start + number * self.block + at;
        self.file.fill(&mut bytes, place)?;
        Ok(bytes)
    }

    /// A block of a directory or of the map of a file: no two of them share one, and none has it
    /// twice.
    fn own_block(&self, number: u64) -> io::Result<Vec<u8>> {
        let left = self.unread.get().checked_sub(self.block);
        let left = left.ok_or_else(|| damaged("its directories are larger than itself"))?;
        self.unread.set(left);
        let now = self.now.get();
        match self.own.borrow_mut().insert(number, now) {
            // By another name of the file.
            Some(before) if before.0 == now.0 && before != now => {}
            Some(_) => return Err(damaged("two directories or maps of files share a block")),
            None => self.charge(NUMBERED)?,
        }
        self.part(number, 0, self.block)
    }

    fn raw_inode(&self, number: u64) -> io::Result<Vec<u8>> {
        if number == 0 || number > self.inodes {
            return Err(damaged("a name is of no inode"));
        }
        let at = |block: u64, byte: u64| (block + byte / self.block, byte % self.block);
        let (group, index) = ((number - 1) / self.per_group, (number - 1) % self.per_group);
        // They follow the block with the superblock, which is the first or the second one.
        let (block, byte) = at(1024 / self.block + 1, group * self.descriptor);
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

    /// The root.
    ///
    /// # Errors
    /// When it cannot be read, or has what is not known here.
    pub(crate) fn root(&self) -> io::Result<Inode> {
        self.inode(ROOT)
    }

    /// The file with this number.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or has what is not known here.
    pub(crate) fn inode(&self, number: u64) -> io::Result<Inode> {
        let raw = self.raw_inode(number)?;
        let (mode, flags) = (u32::from(u16_at(&raw, 0)), u32_at(&raw, 0x20));
        let long = mode & 0o170_000 == Inode::FILE || self.features & LARGE_DIRECTORIES != 0;
        let high = if long { u32_at(&raw, 0x6c) } else { 0 };
        let wide = |low, high| u32::from(u16_at(&raw, low)) | u32::from(u16_at(&raw, high)) << 16;
        let inode = Inode {
            number,
            mode,
            uid: wide(2, 0x78),
            gid: wide(0x18, 0x7a),
            mtime: mtime(&raw),
            size: u64::from(u32_at(&raw, 4)) | u64::from(high) << 32,
            flags,
            raw,
        };
        if inode.size > self.block << 32 {
            return Err(damaged("a file is larger than can be"));
        }
        let other = Inode::OTHERS.contains(&inode.kind());
        if !other && !inode.is_file() && !inode.is_dir() && !inode.is_link() {
            return Err(damaged("a name is of no file"));
        }
        if flags & 0x1000_0000 != 0 {
            return Err(unknown("a file is stored in its inode"));
        }
        Ok(inode)
    }
}

fn mtime(inode: &[u8]) -> i64 {
    let seconds = i64::from(u32_at(inode, 0x10) as i32);
    let extra = inode.len() > 128 && u16_at(inode, 0x80) >= 12;
    match extra {
        true => seconds + (i64::from(u32_at(inode, 0x88) & 3) << 32),
        false => seconds,
    }
}

#[cfg(test)]
mod tests;
