//! Files with holes: a hole of any size is read as a few zeroes.

use std::io::{self, Read};
use std::ops::Range;

/// How much of a hole is read, in bytes: more than any match is long, so that nothing matches
/// over it.
const KEPT: u64 = 64 << 10;

/// How much reading must be saved before it is worth asking where the holes are, in bytes.
pub(super) const WORTH: u64 = 256 << 20;

/// What a file is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Place in the file, length as it is read, and whether it holds data.
    pieces: Vec<(u64, u64, bool)>,
    size: u64,
}

impl Pieces {
    /// Of a file of `size` bytes that holds data in these places, in order, and nowhere else.
    pub(super) fn new(size: u64, data: impl IntoIterator<Item = Range<u64>>) -> Self {
        let (mut pieces, mut at) = (vec![], 0);
        let hole = |pieces: &mut Vec<_>, from: u64, to: u64| {
            if to > from {
                pieces.push((from, (to - from).min(KEPT), false));
            }
        };
        for part in data {
            let (start, end) = (part.start.max(at), part.end.min(size));
            if end > start {
                hole(&mut pieces, at, start);
                pieces.push((start, end - start, true));
                at = end;
            }
        }
        hole(&mut pieces, at, size);
        Pieces { pieces, size }
    }

    /// How many bytes are not read.
    pub(super) fn saved(&self) -> u64 {
        self.size - self.pieces.iter().map(|piece| piece.1).sum::<u64>()
    }

    /// Where in the file a byte is that was read as the one at `at`.
    pub(super) fn place(&self, at: u64) -> u64 {
        let mut base = 0;
        for (start, len, _) in &self.pieces {
            if at < base + len {
                return start + (at - base);
            }
            base += len;
        }
        self.size
    }
}

/// Reads the pieces of a file, which `read_at` reads at any place.
pub(super) struct Condensed<'p, F> {
    pieces: std::slice::Iter<'p, (u64, u64, bool)>,
    now: (u64, u64, bool),
    read_at: F,
}

impl<'p, F: FnMut(u64, &mut [u8]) -> io::Result<usize>> Condensed<'p, F> {
    pub(super) fn new(pieces: &'p Pieces, read_at: F) -> Self {
        Condensed {
            pieces: pieces.pieces.iter(),
            now: (0, 0, false),
            read_at,
        }
    }
}

impl<F: FnMut(u64, &mut [u8]) -> io::Result<usize>> Read for Condensed<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.1 == 0 {
            match self.pieces.next() {
                Some(piece) => self.now = *piece,
                None => return Ok(0),
            }
        }
        let (at, left, data) = self.now;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = if data {
            (self.read_at)(at, &mut buffer[..most])?
        } else {
            buffer[..most].fill(0);
            most
        };
        self.now = (at + read as u64, left - read as u64, data);
        if read == 0 && most > 0 {
            // The file is shorter than it says.
            self.now.1 = 0;
            self.pieces = [].iter();
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_read_as_a_few_zeroes_and_places_stay_known() {
        let size = 200 << 30;
        let at = 150 << 30;
        let pieces = Pieces::new(size, [0..4096, at..at + 4096]);
        assert_eq!(pieces.saved(), size - 2 * 4096 - 2 * KEPT);
        let mut seen = vec![];
        let mut reader = Condensed::new(&pieces, |from, into: &mut [u8]| {
            into.fill(7);
            seen.push(from);
            Ok(into.len())
        });
        let mut all = vec![];
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(seen.first(), Some(&0));
        let second = all.iter().rposition(|byte| *byte == 0).unwrap() - KEPT as usize + 1;
        // The last hole's zeroes follow the second part.
        assert_eq!(pieces.place(second as u64 - 1), at + 4095);
        assert_eq!(pieces.place(10), 10);
        assert_eq!(Pieces::new(10, std::iter::once(0..10)).saved(), 0);
        assert_eq!(Pieces::new(10, []).pieces, [(0, 10, false)]);
    }
}
