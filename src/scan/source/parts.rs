//! What is on a raw disk: its partitions, and what their first bytes say.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Context as _, Result};
use crate::fstab::FileSystem;
use crate::host::exec::Program;

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT, as of an EFI system partition.
    Fat,
    /// Nothing that holds files: swap, GRUB's own partition, zeroes.
    NoFiles,
    /// Anything else: xfs, btrfs, LVM, …
    Other,
    /// Encrypted.
    Luks,
}

impl Content {
    /// Whether imgforge reads it without an appliance.
    pub(crate) fn is_read_here(self) -> bool {
        !matches!(self, Content::Other | Content::Luks)
    }
}

/// A partition, or a disk without a table of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// As in `/dev/sda1`; 0 is the whole disk.
    pub(crate) number: u32,
    /// Its first byte.
    pub(crate) start: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// What fstab may know it by.
    pub(crate) system: FileSystem,
    /// What it holds.
    pub(crate) content: Content,
}

#[derive(Debug, Deserialize)]
struct Printed {
    partitiontable: Table,
}

#[derive(Debug, Deserialize)]
struct Table {
    /// That of an MBR is a number: `0x1234abcd`.
    #[serde(default)]
    id: String,
    sectorsize: Option<u64>,
    #[serde(default)]
    partitions: Vec<Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
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

/// The partitions of a raw disk.
pub(crate) fn volumes(raw: &Path) -> Result<Vec<Volume>> {
    let doing = || format!("reading {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let whole = file.metadata().doing(doing)?.len();
    let only = |content| {
        vec![Volume {
            number: 0,
            start: 0,
            size: whole,
            system: FileSystem {
                name: "the disk".into(),
                place: Some((0, 0)),
                ..system(raw, content, 0, whole)
            },
            content,
        }]
    };
    // A FAT's boot sector looks like a table of partitions.
    let content = look(&file, 0, whole);
    if !matches!(content, Content::NoFiles | Content::Other) {
        return Ok(only(content));
    }
    let printed: Result<Printed> = Program::new("sfdisk").args(["--json"]).arg(raw).json();
    let Ok(table) = printed.map(|printed| printed.partitiontable) else {
        return Ok(only(content));
    };
    let sector = table.sectorsize.unwrap_or(512);
    let volumes = table.partitions.into_iter().filter_map(|part| {
        let digits = part.node.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        let (start, size) = (part.start * sector, part.size * sector);
        if EXTENDED.contains(&part.kind.as_str()) {
            return None;
        }
        let number = digits.parse().unwrap_or(0);
        let content = look(&file, start, size);
        let partuuid = match table.id.strip_prefix("0x") {
            Some(id) => format!("{id}-{number:02x}"),
            None => part.uuid,
        };
        let system = FileSystem {
            name: format!("partition {number}"),
            place: Some((0, number)),
            partuuid,
            partlabel: part.name,
            part_type: part.kind,
            no_auto: part.attrs.contains("GUID:63"),
            ..system(raw, content, start, size)
        };
        Some(Volume {
            number,
            start,
            size,
            system,
            content,
        })
    });
    Ok(volumes.collect())
}

fn bytes<const N: usize>(file: &File, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    // Behind the end there is nothing, and so no magic.
    drop(file.read_exact_at(&mut bytes, at));
    bytes
}

fn look(file: &File, start: u64, size: u64) -> Content {
    let first: [u8; 512] = bytes(file, start);
    if bytes::<2>(file, start + 1080) == [0x53, 0xef] {
        return Content::Ext;
    }
    if first.starts_with(b"LUKS\xba\xbe") {
        return Content::Luks;
    }
    if &first[54..57] == b"FAT" || &first[82..87] == b"FAT32" {
        return Content::Fat;
    }
    for page in [4096u64, 65536] {
        let magic: [u8; 10] = bytes(file, start + page - 10);
        if &magic == b"SWAPSPACE2" || &magic == b"SWAP-SPACE" {
            return Content::NoFiles;
        }
    }
    let known = first.starts_with(b"XFSB")
        || (0..4).any(|sector| bytes::<8>(file, start + sector * 512) == *b"LABELONE")
        || bytes::<8>(file, start + 0x1_0040) == *b"_BHRfS_M";
    // GRUB's partition and an empty one are small, and hold no file system that anyone knows.
    let small = size <= 4 << 20;
    let zeroes =
        first.iter().all(|byte| *byte == 0) && bytes::<512>(file, start + 1024) == [0; 512];
    if !known && (small || zeroes) {
        return Content::NoFiles;
    }
    Content::Other
}

/// Type, UUID and label of the file system there; a disk that blkid(8) does not know has none.
fn system(raw: &Path, content: Content, start: u64, size: u64) -> FileSystem {
    if content == Content::NoFiles {
        return FileSystem::default();
    }
    let [start, size] = [start, size].map(|bytes| bytes.to_string());
    let printed = Program::new("blkid")
        .args(["-p", "-o", "export", "-O", &start, "-S", &size])
        .arg(raw)
        .text()
        .unwrap_or_default();
    FileSystem::of_blkid(printed.lines().filter_map(|line| line.split_once('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_known_by_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("raw");
        let file = File::create(&raw).unwrap();
        file.set_len(16 << 20).unwrap();
        assert_eq!(volumes(&raw).unwrap()[0].content, Content::NoFiles);
        file.write_all_at(b"XFSB", 0).unwrap();
        assert_eq!(volumes(&raw).unwrap()[0].content, Content::Other);
        file.write_all_at(&[0x53, 0xef], 1080).unwrap();
        assert_eq!(volumes(&raw).unwrap()[0].content, Content::Ext);
        file.write_all_at(&[0; 2048], 0).unwrap();
        let table = "label: gpt\nsize=2M, type=21686148-6449-6E6F-744E-656564454649\nsize=8M\n";
        Program::new("sfdisk")
            .args(["-q"])
            .arg(&raw)
            .input(table)
            .run()
            .unwrap();
        let second = volumes(&raw).unwrap()[1].start;
        file.write_all_at(b"LUKS\xba\xbe", second).unwrap();
        let found: Vec<_> = volumes(&raw)
            .unwrap()
            .iter()
            .map(|v| (v.number, v.content))
            .collect();
        assert_eq!(found, [(1, Content::NoFiles), (2, Content::Luks)]);
    }
}
