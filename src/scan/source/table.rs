//! Tables of partitions.

use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use super::parts::bytes;
use crate::host::exec::Program;

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// As in `/dev/sda1`.
    pub(crate) number: u32,
    /// Its first byte.
    pub(crate) start: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its PARTUUID.
    pub(crate) uuid: String,
    /// Its PARTLABEL.
    pub(crate) name: String,
    /// Its type: a GUID in upper case, or digits of MBR.
    pub(crate) kind: String,
    /// Whether it is not to be mounted without a line of fstab.
    pub(crate) no_auto: bool,
}

#[derive(Debug, Deserialize)]
struct Printed {
    partitiontable: Table,
}

#[derive(Debug, Deserialize)]
struct Table {
    label: String,
    /// That of an MBR is a number: `0x1234abcd`.
    #[serde(default)]
    id: String,
    sectorsize: Option<u64>,
    #[serde(default)]
    partitions: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    node: String,
    start: u64,
    size: u64,
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attrs: String,
    #[serde(rename = "type")]
    kind: String,
}

/// MBR's types of extended partitions, which only hold others.
const EXTENDED: [&str; 3] = ["5", "f", "85"];

/// How a GPT begins, in the second sector.
const GPT: &[u8; 8] = b"EFI PART";

/// Sectors that are larger than sfdisk expects of a file.
const LARGE: u64 = 4096;

/// The partitions of a raw disk of `whole` bytes; `None` where there is no table of them, but
/// something that looks like one: the boot sector of a FAT ends as an MBR does.
pub(super) fn read(raw: &Path, file: &File, whole: u64) -> Option<Vec<Partition>> {
    if bytes::<8>(file, 512) != *GPT && bytes::<8>(file, LARGE) == *GPT {
        return gpt(file, LARGE);
    }
    let printed = Program::new("sfdisk").args(["--json"]).arg(raw);
    let printed = printed.on_foreign_file().json();
    let table = printed
        .map(|printed: Printed| printed.partitiontable)
        .ok()?;
    let sector = table.sectorsize.unwrap_or(512);
    let fits = |line: &Line| line.start > 0 && line.start * sector < whole;
    // Text of a boot sector gives any numbers.
    let mbr: [u8; 512] = bytes(file, 0);
    let flagged = (0..4).all(|n| matches!(mbr[446 + 16 * n], 0 | 0x80));
    if table.partitions.is_empty()
        || (table.label == "dos" && !(flagged && table.partitions.iter().all(fits)))
    {
        return None;
    }
    let id = table.id;
    let lines = table.partitions.into_iter();
    let lines = lines.filter(|line| !EXTENDED.contains(&line.kind.as_str()));
    let parts = lines.filter_map(|line| {
        let digits = line.node.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        let number = digits.parse().unwrap_or(0);
        Some(Partition {
            number,
            start: line.start * sector,
            size: line.size * sector,
            uuid: match id.strip_prefix("0x") {
                Some(id) => format!("{id}-{number:02x}"),
                None => line.uuid,
            },
            name: line.name,
            kind: line.kind,
            no_auto: line.attrs.contains("GUID:63"),
        })
    });
    Some(parts.collect())
}

/// A name in UTF-16 that ends where it is zero.
fn name(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2);
    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// A GPT of large sectors, as the UEFI specification describes it.
pub(crate) fn gpt(file: &File, sector: u64) -> Option<Vec<Partition>> {
    let header: [u8; 92] = bytes(file, sector);
    let short = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
    let first = u64::from_le_bytes(header[72..80].try_into().expect("eight"));
    let (count, size) = (short(80).min(1024), u64::from(short(84)));
    if !(128..=4096).contains(&size) {
        return None;
    }
    let part = |number: u32| {
        let at = first.checked_mul(sector)?;
        let at = at.checked_add(u64::from(number) * size)?;
        let entry: [u8; 128] = bytes(file, at);
        let guid = |at: usize| {
            uuid::Uuid::from_bytes_le(entry[at..at + 16].try_into().expect("sixteen")).to_string()
        };
        let place = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight"));
        let (start, last) = (place(32), place(40));
        let size = last.checked_sub(start)?.checked_add(1)?;
        (entry[..16] != [0; 16]).then_some(())?;
        Some(Partition {
            number: number + 1,
            start: start.checked_mul(sector)?,
            size: size.checked_mul(sector)?,
            uuid: guid(16),
            name: name(&entry[56..]),
            kind: guid(0).to_ascii_uppercase(),
            no_auto: entry[55] & 0x80 != 0,
        })
    };
    let parts: Vec<Partition> = (0..count).filter_map(part).collect();
    (!parts.is_empty()).then_some(parts)
}
