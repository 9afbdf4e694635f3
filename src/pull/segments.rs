//! Where the bytes of a blob come from, in their order: files that are here, and the server.

use std::collections::HashMap;
use std::path::PathBuf;

use super::blocks::{Digest, HEADER, Map};

/// A run of bytes of the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// They lie in a file of this host.
    File {
        path: PathBuf,
        offset: u64,
        len: u64,
    },
    /// They are fetched: from byte `start` to before byte `end`, or to the end.
    Remote { start: u64, end: Option<u64> },
}

/// Runs of blocks that are here but shorter than this, in bytes, are not worth a request more.
const SHORT: u64 = 16 << 10;

/// A blob of the store, with its block map.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) path: PathBuf,
    pub(super) map: Map,
}

/// Plans to put a blob together whose first `have` bytes are here already. Returns the segments
/// behind them, and how many bytes of these are fetched.
pub(super) fn plan(map: &Map, have: u64, earlier: &[Earlier]) -> (Vec<Segment>, u64) {
    let known = known_blocks(earlier);
    let mut runs: Vec<Segment> = vec![];
    let mut at = HEADER;
    push(
        &mut runs,
        Segment::Remote {
            start: 0,
            end: Some(HEADER),
        },
    );
    for (digest, length) in &map.blocks {
        let found = known.get(&(*digest, *length));
        push(
            &mut runs,
            match found {
                Some((number, offset)) => Segment::File {
                    path: earlier[*number].path.clone(),
                    offset: *offset,
                    len: *length,
                },
                None => Segment::Remote {
                    start: at,
                    end: Some(at + length),
                },
            },
        );
        at += length;
    }
    push(
        &mut runs,
        Segment::Remote {
            start: at,
            end: Some(map.size),
        },
    );
    let segments = without_first(without_short(runs), have);
    let fetched = segments.iter().map(|segment| match segment {
        Segment::Remote { start, end } => end.map_or(0, |end| end - start),
        Segment::File { .. } => 0,
    });
    let fetched = fetched.sum();
    (segments, fetched)
}

/// Which file has a block, and where; of several the first.
fn known_blocks(earlier: &[Earlier]) -> HashMap<(Digest, u64), (usize, u64)> {
    let mut known = HashMap::new();
    for (number, blob) in earlier.iter().enumerate() {
        let mut offset = HEADER;
        for (digest, length) in &blob.map.blocks {
            known.entry((*digest, *length)).or_insert((number, offset));
            offset += length;
        }
    }
    known
}

/// Adds a segment, as a part of the last one where it goes on.
fn push(segments: &mut Vec<Segment>, next: Segment) {
    match (segments.last_mut(), &next) {
        (Some(Segment::Remote { end, .. }), Segment::Remote { start, end: new })
            if *end == Some(*start) =>
        {
            *end = *new;
        }
        (
            Some(Segment::File { path, offset, len }),
            Segment::File {
                path: other,
                offset: from,
                len: more,
            },
        ) if path == other && *offset + *len == *from => *len += more,
        _ => segments.push(next),
    }
}

/// Short runs between two that are fetched are fetched with them.
fn without_short(runs: Vec<Segment>) -> Vec<Segment> {
    let (mut out, mut at) = (vec![], 0);
    for run in runs {
        let len = length(&run);
        let end = at + len;
        let remote = Segment::Remote {
            start: at,
            end: Some(end),
        };
        match run {
            Segment::File { .. } if len >= SHORT => push(&mut out, run),
            _ => push(&mut out, remote),
        }
        at = end;
    }
    out
}

fn length(segment: &Segment) -> u64 {
    match segment {
        Segment::File { len, .. } => *len,
        Segment::Remote { start, end } => end.map_or(0, |end| end - start),
    }
}

/// Cuts the first `have` bytes off.
fn without_first(segments: Vec<Segment>, have: u64) -> Vec<Segment> {
    let mut at = 0;
    let mut out = vec![];
    for segment in segments {
        let (start, len) = (at, length(&segment));
        at += len;
        if at <= have {
            continue;
        }
        let cut = have.saturating_sub(start);
        out.push(match segment {
            Segment::File { path, offset, .. } => Segment::File {
                path,
                offset: offset + cut,
                len: len - cut,
            },
            Segment::Remote { start, end } => Segment::Remote {
                start: start + cut,
                end,
            },
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::blocks::half;

    const BIG: u64 = 100_000;

    fn map(blocks: &[(&str, u64)]) -> Map {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(content, length)| (half(&blake3::hash(content.as_bytes())), *length))
            .collect();
        let size = 12 + blocks.iter().map(|(_, length)| length).sum::<u64>() + 100;
        Map { size, blocks }
    }

    fn earlier(blocks: &[(&str, u64)]) -> [Earlier; 1] {
        let path = "old".into();
        [Earlier {
            path,
            map: map(blocks),
        }]
    }

    fn file(offset: u64, len: u64) -> Segment {
        let path = "old".into();
        Segment::File { path, offset, len }
    }

    fn remote(start: u64, end: u64) -> Segment {
        let end = Some(end);
        Segment::Remote { start, end }
    }

    #[test]
    fn only_blocks_that_changed_are_fetched() {
        let old = earlier(&[("a", BIG), ("b", BIG), ("c", BIG)]);
        let new = map(&[("a", BIG), ("x", BIG), ("b", BIG), ("c", BIG)]);
        let (segments, fetched) = plan(&new, 0, &old);
        let expected = [
            remote(0, 12),
            file(12, BIG),
            remote(12 + BIG, 12 + 2 * BIG),
            file(12 + BIG, 2 * BIG),
            remote(12 + 4 * BIG, 112 + 4 * BIG),
        ];
        assert_eq!(segments, expected);
        assert_eq!(fetched, 12 + BIG + 100);
    }

    #[test]
    fn short_runs_are_fetched_with_their_neighbours() {
        let old = earlier(&[("zero", 200), ("b", BIG)]);
        let new = map(&[("x", BIG), ("zero", 200), ("y", BIG), ("b", BIG)]);
        let (segments, _) = plan(&new, 0, &old);
        let there = 12 + 2 * BIG + 200;
        let expected = [
            remote(0, there),
            file(212, BIG),
            remote(there + BIG, there + BIG + 100),
        ];
        assert_eq!(segments, expected);
    }

    #[test]
    fn what_is_here_already_is_left_out() {
        let old = earlier(&[("a", BIG)]);
        let new = map(&[("a", BIG), ("x", BIG)]);
        let (segments, fetched) = plan(&new, 1000, &old);
        let expected = [file(1000, BIG - 988), remote(12 + BIG, 112 + 2 * BIG)];
        assert_eq!(segments, expected);
        assert_eq!(fetched, BIG + 100);
        assert_eq!(plan(&new, new.size, &old), (vec![], 0));
    }
}
