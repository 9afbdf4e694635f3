//! Where the content of a file lies: by extents, or by a map of every block (ext2 and ext3).

use std::io;
use std::ops::Range;

use super::{At, Fs, Inode, damaged, u16_at, u32_at, unknown};

/// How deep a tree of extents can be.
const DEEPEST: u16 = 5;

/// The number of blocks of an extent that is longer, by what it is longer: they are allocated, and
/// not written.
const UNWRITTEN: u64 = 1 << 15;

/// Blocks whose numbers are in the inode; three numbers of blocks with numbers follow.
const DIRECT: usize = 12;

/// A part of a file that lies in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its first byte in the file.
    pub at: u64,
    /// Its first byte in what the file system is in.
    pub place: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Reads what begins at byte `at` of a file whose data is in these runs of `file`, in order, and zeroes
/// elsewhere; returns how much, which is nothing only where nothing is wanted.
///
/// # Errors
/// When it cannot be read.
pub fn read_at(file: &dyn At, runs: &[Run], at: u64, into: &mut [u8]) -> io::Result<usize> {
    let after = runs.partition_point(|run| run.at <= at);
    let before = after.checked_sub(1).map(|index| runs[index]);
    if let Some(run) = before.filter(|run| at < run.at + run.len) {
        let offset = at - run.at;
        let count = (run.len - offset).min(into.len() as u64) as usize;
        file.fill(&mut into[..count], run.place + offset)?;
        return Ok(count);
    }
    let next = runs.get(after).map_or(u64::MAX, |run| run.at);
    let count = (next - at).min(into.len() as u64) as usize;
    into[..count].fill(0);
    Ok(count)
}

impl Fs<'_> {
    /// Where the content of a file lies, in order; the rest of it is zeroes. Nothing for what has none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or has what is not known here.
    pub fn runs(&self, inode: &Inode) -> io::Result<Vec<Run>> {
        self.now.set((inode.number, self.now.get().1 + 1));
        let mut runs = vec![];
        let has_content = inode.is_file() || inode.is_dir() || inode.is_link();
        if !has_content || inode.is_short() {
        } else if inode.has_extents() {
            self.extents(inode.stored(), DEEPEST, 0..1 << 32, &mut runs)?;
        } else {
            let end = inode.size.div_ceil(self.block);
            let mut at = 0;
            for (slot, number) in inode.stored().chunks_exact(4).enumerate() {
                let depth = (slot + 1).saturating_sub(DIRECT) as u32;
                self.mapped(u32_at(number, 0).into(), depth, (&mut at, end), &mut runs)?;
            }
            if at < end {
                return Err(damaged("a file is larger than can be"));
            }
        }
        Ok(runs)
    }

    /// The content of a file, if it has at most `most` bytes.
    ///
    /// # Errors
    /// When it has more, or cannot be read.
    pub fn read(&self, inode: &Inode, most: u64) -> io::Result<Vec<u8>> {
        if inode.size > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let (runs, mut bytes, mut at) = (self.runs(inode)?, vec![0; inode.size as usize], 0);
        while at < bytes.len() {
            at += read_at(self.file, &runs, at as u64, &mut bytes[at..])?;
        }
        Ok(bytes)
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than a block.
    pub fn link(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        match inode.is_short() {
            true => Ok(inode.stored()[..inode.size as usize].to_vec()),
            false if inode.size < self.block => self.read(inode, self.block),
            false => Err(unknown("a symbolic link is longer than a block")),
        }
    }

    /// The runs of a node of the tree of extents, which tells of the blocks `within` of its file;
    /// those without data are holes.
    fn extents(
        &self,
        node: &[u8],
        deepest: u16,
        within: Range<u64>,
        runs: &mut Vec<Run>,
    ) -> io::Result<()> {
        let (count, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        if u16_at(node, 0) != 0xf30a || depth > deepest || (count + 1) * 12 > node.len() {
            return Err(unknown("the extents of a file are not known here"));
        }
        let entries: Vec<&[u8]> = node[12..].chunks_exact(12).take(count).collect();
        let mut free = within.start;
        for (index, entry) in entries.iter().enumerate() {
            let at = u64::from(u32_at(entry, 0));
            let next = entries.get(index + 1);
            let end = next.map_or(within.end, |next| u64::from(u32_at(next, 0)));
            let stored = u64::from(u16_at(entry, 4));
            let len = match depth {
                0 if stored > UNWRITTEN => stored - UNWRITTEN,
                0 => stored,
                _ => 1,
            };
            if at < free || len == 0 || at + len > end || end > within.end {
                return Err(damaged("the extents of a file are not in order"));
            }
            free = at + len;
            if depth > 0 {
                let place = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                let below = self.own_block(place)?;
                if u16_at(&below, 2) == 0 {
                    return Err(unknown("the extents of a file are not known here"));
                }
                self.extents(&below, depth - 1, at..end, runs)?;
                continue;
            }
            let place = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
            self.inside(place, len)?;
            if stored <= UNWRITTEN {
                self.add(runs, at, place, len)?;
            }
        }
        Ok(())
    }

    /// The runs of the block `number` of a file that ends before `end`, or of those whose numbers are in
    /// that block, `depth` times; `at` is the first of them, and then the one behind them.
    fn mapped(
        &self,
        number: u64,
        depth: u32,
        (at, end): (&mut u64, u64),
        runs: &mut Vec<Run>,
    ) -> io::Result<()> {
        if *at >= end || number == 0 {
            *at += (self.block / 4).pow(depth);
            return Ok(());
        }
        if depth == 0 {
            self.inside(number, 1)?;
            self.add(runs, *at, number, 1)?;
            *at += 1;
            return Ok(());
        }
        for number in self.own_block(number)?.chunks_exact(4) {
            self.mapped(u32_at(number, 0).into(), depth - 1, (&mut *at, end), runs)?;
        }
        Ok(())
    }

    fn inside(&self, block: u64, count: u64) -> io::Result<()> {
        match block + count > self.blocks {
            true => Err(damaged("a file lies outside")),
            false => Ok(()),
        }
    }

    /// Adds blocks to the runs of a file.
    fn add(&self, runs: &mut Vec<Run>, at: u64, block: u64, count: u64) -> io::Result<()> {
        let run = Run {
            at: at * self.block,
            place: self.start + block * self.block,
            len: count * self.block,
        };
        let follows =
            |last: &&mut Run| last.at + last.len == run.at && last.place + last.len == run.place;
        match runs.last_mut().filter(follows) {
            Some(last) => last.len += run.len,
            None => {
                self.charge(size_of::<Run>())?;
                runs.push(run);
            }
        }
        Ok(())
    }
}
