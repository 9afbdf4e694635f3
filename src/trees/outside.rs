//! What of a disk belongs to no file: its partitions, and the programs that a machine starts before it reads
//! files.

use std::ops::Range;

use super::content::{Pair, gaps};
use super::side::Tree;
use super::{Change, Difference, changed};
use crate::error::Result;
use crate::scan::source::parts::{Content, Volume};

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Bytes of the first sector that are a program; behind it are the number of the disk and a table.
const PROGRAM: u64 = 440;

/// Bytes of a GPT at the start of a disk, from its first sector on, and at its end: ids, which installers make
/// anew each time.
const GPT: (u64, u64) = (34 * SECTOR, 33 * SECTOR);

/// Bytes before an ext file system's own.
const BEFORE_EXT: u64 = 1024;

/// How two disks differ outside of their file systems.
///
/// # Errors
/// When they cannot be read, or on an interrupt.
pub(super) fn differences(pair: &mut Pair<'_>, trees: &[Tree; 2]) -> Result<Vec<Difference>> {
    let sizes = pair.sizes();
    let [was, now] = [0, 1].map(|side| table(sizes[side], &trees[side].volumes));
    if let Some(change) = changed("table", &was, &now) {
        return Ok(vec![Difference {
            path: "/(table)".into(),
            changes: vec![change],
        }]);
    }
    let mut found = vec![];
    for (name, part) in parts(sizes[0], &trees[0].volumes, pair.has_gpt()?) {
        let bytes = part.end - part.start;
        if let Some(at) = pair.differ_within(part)? {
            let was = format!("{bytes} bytes");
            let now = format!("{was}, other ones from byte {at} of the disk on");
            found.push(Difference {
                path: format!("/({name})"),
                changes: vec![Change::new("content", was, now)],
            });
        }
    }
    found.dedup_by(|one, other| one.path == other.path);
    Ok(found)
}

/// The partitions of a disk of so many bytes, but for their ids.
fn table(size: u64, volumes: &[Volume]) -> String {
    let mut text = format!("{size} bytes");
    for volume in volumes {
        let Volume { start, size, .. } = volume;
        let (name, kind) = (&volume.system.name, &volume.system.part_type);
        text += &format!("; {name} from byte {start}, {size} bytes {kind}");
    }
    text
}

/// The parts of a disk in which there may be programs, with their names.
fn parts(size: u64, volumes: &[Volume], has_gpt: bool) -> Vec<(&str, Range<u64>)> {
    let mut parts = vec![];
    let (from, to) = match has_gpt {
        true => (GPT.0, size.saturating_sub(GPT.1)),
        false => (SECTOR, size),
    };
    let mut taken = vec![PROGRAM..from, to..size];
    for volume in volumes {
        let (name, start) = (volume.system.name.as_str(), volume.start);
        let end = start.saturating_add(volume.size).min(size);
        taken.push(start..end);
        match volume.content {
            // Its UUID is another one each time, and nobody runs what is in it.
            Content::Bytes if volume.system.kind.starts_with("sw") => {}
            Content::Bytes => parts.push((name, start..end)),
            Content::Ext => parts.push((name, start..end.min(start + BEFORE_EXT))),
            _ => {}
        }
    }
    parts.extend(gaps(taken, size).map(|gap| ("outside of partitions", gap)));
    parts
}
