//! The bytes of two files, or of two whole disks, compared.

use std::io;
use std::ops::Range;

use super::side::Node;
use crate::blame::overlay::Overlay;
use crate::error::{Context as _, Result};
use crate::ext4::{At as _, read_at};
use crate::host::interrupt;

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// The block by which disks are compared, in bytes.
const BLOCK: usize = 4096;

/// Two disks, and room to read parts of both.
#[derive(Debug)]
pub(super) struct Pair<'d> {
    disks: [&'d Overlay; 2],
    buffers: [Vec<u8>; 2],
    /// Bytes that may still be read of files: a disk's files can be larger than itself.
    budget: u64,
}

/// How many blocks of 4 KiB of two disks differ, of those that have data in one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Blocks {
    /// Blocks with data.
    pub all: u64,
    /// Those that differ.
    pub differ: u64,
}

impl<'d> Pair<'d> {
    pub(super) fn new(disks: [&'d Overlay; 2]) -> Self {
        let size = disks.iter().map(|disk| disk.size()).max().unwrap_or(0);
        Pair {
            disks,
            buffers: [vec![0; CHUNK], vec![0; CHUNK]],
            budget: size.saturating_mul(4),
        }
    }

    /// Where the contents of two files differ first; nothing where they are equal.
    ///
    /// # Errors
    /// When they cannot be read, or on an interrupt.
    pub(super) fn differ(&mut self, nodes: [&Node; 2]) -> Result<Option<u64>> {
        let least = nodes[0].size.min(nodes[1].size);
        for part in data(nodes, least) {
            let mut at = part.start;
            while at < part.end {
                interrupt::check()?;
                let count = (part.end - at).min(CHUNK as u64) as usize;
                self.fill(nodes, at, count).doing(reading)?;
                let [one, other] = &self.buffers;
                let mut both = one[..count].iter().zip(&other[..count]);
                if let Some(first) = both.position(|(one, other)| one != other) {
                    return Ok(Some(at + first as u64));
                }
                at += count as u64;
            }
        }
        Ok((nodes[0].size != nodes[1].size).then_some(least))
    }

    fn fill(&mut self, nodes: [&Node; 2], at: u64, count: usize) -> io::Result<()> {
        let left = self.budget.checked_sub(count as u64);
        self.budget =
            left.ok_or_else(|| io::Error::other("the files of the image are larger than itself"))?;
        for ((node, disk), into) in nodes.into_iter().zip(self.disks).zip(&mut self.buffers) {
            let mut done = 0;
            while done < count {
                let from = at + done as u64;
                done += read_at(disk, &node.runs, from, &mut into[done..count])?;
            }
        }
        Ok(())
    }

    /// The whole content of both files, where each has at most `most` bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn both(&self, nodes: [&Node; 2], most: u64) -> Result<Option<[Vec<u8>; 2]>> {
        if nodes.iter().any(|node| node.size > most) {
            return Ok(None);
        }
        let mut all = [vec![], vec![]];
        for ((node, disk), into) in nodes.into_iter().zip(self.disks).zip(&mut all) {
            into.resize(node.size as usize, 0);
            let mut done = 0;
            while done < into.len() {
                let read = read_at(disk, &node.runs, done as u64, &mut into[done..]);
                done += read.doing(reading)?;
            }
        }
        Ok(Some(all))
    }

    /// Bytes of both disks, as a guest sees them.
    pub(super) fn sizes(&self) -> [u64; 2] {
        self.disks.map(Overlay::size)
    }

    /// Whether the first disk has a GPT.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn has_gpt(&self) -> Result<bool> {
        let (disk, mut magic) = (self.disks[0], [0; 8]);
        if disk.size() >= 1024 {
            disk.fill(&mut magic, 512).doing(reading)?;
        }
        Ok(&magic == b"EFI PART")
    }

    /// Where the disks differ first within a part of both; nothing where they are equal there.
    ///
    /// # Errors
    /// When they cannot be read, or on an interrupt.
    pub(super) fn differ_within(&mut self, part: Range<u64>) -> Result<Option<u64>> {
        let [one, other] = self.disks;
        let parts = one.data(part.clone()).chain(other.data(part));
        self.pieces(merged(parts.collect()), |at, one, other| {
            let first = one.iter().zip(other).position(|(one, other)| one != other);
            first.map(|first| at + first as u64)
        })
    }

    /// Hands the same pieces of both disks to `each`, with their place, until it has found something.
    fn pieces<T>(
        &mut self,
        parts: Vec<Range<u64>>,
        mut each: impl FnMut(u64, &[u8], &[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        for part in parts {
            let mut at = part.start;
            while at < part.end {
                interrupt::check()?;
                let count = (part.end - at).min(CHUNK as u64) as usize;
                self.read(at, count)?;
                let [one, other] = &self.buffers;
                let found = each(at, &one[..count], &other[..count]);
                if found.is_some() {
                    return Ok(found);
                }
                at += count as u64;
            }
        }
        Ok(None)
    }

    /// Reads the same bytes of both disks.
    fn read(&mut self, at: u64, count: usize) -> Result<()> {
        for (disk, into) in self.disks.into_iter().zip(&mut self.buffers) {
            disk.fill(&mut into[..count], at).doing(reading)?;
        }
        Ok(())
    }

    /// Compares all bytes of the disks as a guest sees them.
    ///
    /// # Errors
    /// When they cannot be read, or on an interrupt.
    pub(super) fn blocks(&mut self) -> Result<Blocks> {
        let [one, other] = self.disks;
        let (least, most) = {
            let (one, other) = (one.size(), other.size());
            (one.min(other), one.max(other))
        };
        let parts = one.data(0..least).chain(other.data(0..least));
        let wide = |part: Range<u64>| {
            let block = BLOCK as u64;
            part.start / block * block..part.end.next_multiple_of(block).min(least)
        };
        let mut found = Blocks::default();
        self.pieces::<()>(merged(parts.map(wide).collect()), |_, one, other| {
            for (one, other) in one.chunks(BLOCK).zip(other.chunks(BLOCK)) {
                found.all += 1;
                found.differ += u64::from(one != other);
            }
            None
        })?;
        found.differ += (most - least).div_ceil(BLOCK as u64);
        Ok(found)
    }
}

fn reading() -> String {
    "reading the disks".into()
}

/// The parts of two files, up to their byte `end`, that have data in one of them.
fn data(nodes: [&Node; 2], end: u64) -> Vec<Range<u64>> {
    let runs = nodes.iter().flat_map(|node| &node.runs);
    merged(
        runs.map(|run| run.at..(run.at + run.len).min(end))
            .collect(),
    )
}

/// Ranges in order, those that touch as one.
fn merged(mut all: Vec<Range<u64>>) -> Vec<Range<u64>> {
    all.retain(|part| part.start < part.end);
    all.sort_by_key(|part| part.start);
    let mut merged: Vec<Range<u64>> = vec![];
    for part in all {
        match merged.last_mut().filter(|last| last.end >= part.start) {
            Some(last) => last.end = last.end.max(part.end),
            None => merged.push(part),
        }
    }
    merged
}

/// What of so many bytes no range has.
pub(super) fn gaps(taken: Vec<Range<u64>>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let mut from = 0;
    let end = std::iter::once(size..size);
    let taken = merged(taken).into_iter().chain(end);
    let gaps = taken.map(move |part| {
        let gap = from..part.start.min(size);
        from = part.end;
        gap
    });
    gaps.filter(|gap| gap.start < gap.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let all = vec![8..12, 0..4, 4..6, 5..7, 20..20];
        assert_eq!(merged(all.clone()), [0..7, 8..12]);
        assert_eq!(gaps(all, 20).collect::<Vec<_>>(), [7..8, 12..20]);
    }
}
