//! Tables of partitions.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
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

/// The program that prints the table of a raw disk.
pub(super) fn sfdisk(raw: &Path) -> Program {
    let sfdisk = Program::new("sfdisk").args(["--json"]).arg(raw);
    sfdisk.on_foreign_file().seeing(raw)
}

/// The partitions of a raw disk of `whole` bytes; `None` where there is no table of them, but
/// something that looks like one: the boot sector of a FAT ends as an MBR does.
pub(crate) fn read(raw: &Path, file: &File, whole: u64) -> Option<Vec<Partition>> {
    if bytes::<8>(file, 512) != *GPT && is_protected(file) && is_whole(file, LARGE) {
        return gpt(file, LARGE);
    }
    let table = sfdisk(raw)
        .json()
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

/// MBR's type of a partition that is all of a disk with a GPT.
pub(super) const PROTECTIVE: &str = "ee";

/// The types in an MBR of a disk with a GPT and nothing else.
const ONLY_PROTECTIVE: [u8; 4] = [0, 0, 0, 0xee];

/// Whether the MBR says that there is a GPT, and has no partitions itself.
fn is_protected(file: &File) -> bool {
    let mbr: [u8; 512] = bytes(file, 0);
    let mut kinds: [u8; 4] = std::array::from_fn(|n| mbr[446 + 16 * n + 4]);
    kinds.sort_unstable();
    mbr[510..] == [0x55, 0xaa] && kinds == ONLY_PROTECTIVE
}

/// More partitions than this has no table.
const MOST: u32 = 1024;

/// Whether the GPT there is what was written as such: it knows where it is, and its sums are right.
fn is_whole(file: &File, sector: u64) -> bool {
    let mut header = vec![0; sector as usize];
    if file.read_exact_at(&mut header, sector).is_err() || !header.starts_with(GPT) {
        return false;
    }
    let short = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
    let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight"));
    let (length, sum, first) = (short(12) as usize, short(16), long(72));
    let (count, size, of_entries) = (short(80), short(84), short(88));
    if long(24) != 1 || count > MOST || size > LARGE as u32 {
        return false;
    }
    let mut entries = vec![0; count as usize * size as usize];
    let at = first.checked_mul(sector);
    let read = at.is_some_and(|at| file.read_exact_at(&mut entries, at).is_ok());
    header[16..20].fill(0);
    let header = header.get(..length).filter(|_| length >= 92);
    read && crc32fast::hash(&entries) == of_entries
        && header.is_some_and(|header| crc32fast::hash(header) == sum)
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
    let (count, size) = (short(80).min(MOST), u64::from(short(84)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::source::parts::tests::{contents, disk};
    use crate::scan::source::parts::{Content, volumes};

    /// A table of sectors of 4 KiB with one partition of 1 MiB behind the first, as UEFI has it.
    fn table_of_large_sectors(file: &File) {
        let linux = uuid::uuid!("0FC63DAF-8483-4772-8E79-3D69D8477DE4");
        let mut entries = vec![0; 128 * 128];
        entries[..16].copy_from_slice(&linux.to_bytes_le());
        entries[32..40].copy_from_slice(&256u64.to_le_bytes());
        entries[40..48].copy_from_slice(&511u64.to_le_bytes());
        file.write_all_at(&entries, 2 * 4096).unwrap();
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[24..32].copy_from_slice(&1u64.to_le_bytes());
        header[72..80].copy_from_slice(&2u64.to_le_bytes());
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
        let own = crc32fast::hash(&header).to_le_bytes();
        header[16..20].copy_from_slice(&own);
        file.write_all_at(&header, 4096).unwrap();
    }

    /// An MBR with partitions of these types, as (type, first sector, sectors).
    fn mbr(file: &File, parts: &[(u8, u32, u32)]) {
        let mut mbr = [0; 512];
        for ((kind, start, size), line) in parts.iter().zip(mbr[446..].chunks_exact_mut(16)) {
            line[4] = *kind;
            line[8..12].copy_from_slice(&start.to_le_bytes());
            line[12..].copy_from_slice(&size.to_le_bytes());
        }
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        file.write_all_at(&mbr, 0).unwrap();
    }

    #[test]
    fn a_table_of_large_sectors_is_read() {
        let (raw, file) = disk(32 << 20);
        table_of_large_sectors(&file);
        mbr(&file, &[(0xee, 1, u32::MAX)]);
        file.write_all_at(&[0x53, 0xef], (1 << 20) + 1080).unwrap();
        let found = volumes(raw.path()).unwrap();
        assert_eq!(found.len(), 1);
        let volume = &found[0];
        assert_eq!((volume.start, volume.size), (1 << 20, 1 << 20));
        assert_eq!((volume.number, volume.content), (1, Content::Ext));
    }

    /// Of sectors of 4 KiB, from before the disk was divided anew: the partitions that there are
    /// now would be read by nobody.
    #[test]
    fn a_table_that_is_no_more_hides_no_partitions() {
        let (raw, file) = disk(32 << 20);
        let raw = raw.path();
        table_of_large_sectors(&file);
        file.write_all_at(&[0x53, 0xef], (1 << 20) + 1080).unwrap();
        let now = (0x83, 8192, 8192);
        let start = 8192 * 512;
        file.write_all_at(&[0x53, 0xef], start + 1080).unwrap();
        mbr(&file, &[now]);
        let found = volumes(raw).unwrap();
        let found: Vec<_> = found.iter().map(|v| (v.start, v.content)).collect();
        assert_eq!(found, [(start, Content::Ext)]);
        // Both tables at once are for the appliance, which reads neither, and says so. A swap
        // space's magic changes nothing.
        file.write_all_at(b"SWAPSPACE2", 512 + 4086).unwrap();
        for parts in [&[(0xee, 1, 8191), now][..], &[now, (0xee, 1, 8191)]] {
            mbr(&file, parts);
            let contents: Vec<Content> = contents(raw).into_iter().map(|part| part.1).collect();
            assert!(contents.contains(&Content::Other), "{contents:?}");
        }
        // What is damaged, or is elsewhere than it says, is no table, and is told.
        mbr(&file, &[(0xee, 1, u32::MAX)]);
        assert_eq!(contents(raw), [(1, Content::Ext)]);
        for at in [4096 + 24, 4096 + 40, 2 * 4096 + 60, 4096 + 80] {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            let contents = contents(raw);
            assert!(
                contents.iter().all(|part| part.1 == Content::Other),
                "{at} {contents:?}"
            );
            file.write_all_at(&byte, at).unwrap();
        }
        // Nor is one without any MBR.
        mbr(&file, &[]);
        assert_eq!(contents(raw), [(0, Content::Other)]);
    }
}
