//! What is on a raw disk: its partitions, and what their first bytes say.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::table;
use crate::error::{Context as _, Result};
use crate::fstab::FileSystem;
use crate::host::exec::Program;
use crate::scan::raw;

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT, as of an EFI system partition.
    Fat,
    /// Nothing: zeroes throughout.
    NoFiles,
    /// No files, but something: swap space, GRUB's own partition.
    Bytes,
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

/// Types of partitions that hold a program, and no file system: GRUB's own on GPT, and PowerPC's.
const PROGRAMS: [&str; 3] = [
    "21686148-6449-6E6F-744E-656564454649",
    "9E1A2D38-C612-4316-AA26-8B49521E5A8B",
    "41",
];

/// How large such a program may be, in bytes.
const PROGRAM: u64 = 16 << 20;

/// The partitions of a raw disk, or the disk as one volume.
pub(crate) fn volumes(raw: &Path) -> Result<Vec<Volume>> {
    let doing = || format!("reading {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let whole = file.metadata().doing(doing)?.len();
    let look = |number, part: &Range<u64>, kind: &str| -> Result<Content> {
        let content = look(&file, part, whole, kind);
        content.doing(|| format!("reading volume {number} of {}", raw.display()))
    };
    let known = system(raw, Content::Other, 0, whole);
    // A disk that became a member of a RAID or LVM may have the table that it had before, whose
    // partitions are no more.
    let member = known
        .as_ref()
        .is_some_and(|known| known.kind.ends_with("_member"));
    let table = table::read(raw, &file, whole).filter(|_| !member);
    let Some(table) = table else {
        let content = look(0, &(0..whole), "")?;
        return Ok(vec![Volume {
            number: 0,
            start: 0,
            size: whole,
            content: content.agreed(known.as_ref()),
            system: FileSystem {
                name: "the disk".into(),
                place: Some((0, 0)),
                ..known.unwrap_or_default()
            },
        }]);
    };
    let volumes = table.into_iter().map(|part| {
        let (number, start, size) = (part.number, part.start, part.size);
        let content = look(number, &(start..start.saturating_add(size)), &part.kind)?;
        let known = system(raw, content, start, size);
        Ok(Volume {
            number,
            start,
            size,
            content: content.agreed(known.as_ref()),
            system: FileSystem {
                name: format!("partition {number}"),
                place: Some((0, number)),
                partuuid: part.uuid,
                partlabel: part.name,
                part_type: part.kind,
                no_auto: part.no_auto,
                ..known.unwrap_or_default()
            },
        })
    });
    volumes.collect()
}

impl Content {
    /// What it is by blkid(8), too: whatever was there before leaves its magic, below a member of a
    /// RAID, in a swap space, under another file system. Where the two differ, or blkid(8) sees
    /// several (`None`), nothing is sure, and it is for the appliance.
    fn agreed(self, known: Option<&FileSystem>) -> Self {
        use Content::{Bytes, Ext, Fat, Luks, NoFiles, Other};
        match (self, known.map(|known| known.kind.as_str())) {
            (NoFiles | Luks | Other, _) => self,
            (Ext, Some("ext2" | "ext3" | "ext4")) | (Fat, Some("vfat")) => self,
            (Ext | Fat | Bytes, Some("swap" | "swsuspend")) | (Bytes, Some("")) => Bytes,
            (Ext | Fat | Bytes, _) => Other,
        }
    }
}

/// These bytes of a file; zeroes behind its end, where no magic is.
pub(super) fn bytes<const N: usize>(file: &File, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    drop(file.read_exact_at(&mut bytes, at));
    bytes
}

/// What is in a part of a disk of `whole` bytes. Only what is recognized holds no files: whatever
/// nobody knows is for the appliance, which knows more, or says that it does not.
fn look(file: &File, part: &Range<u64>, whole: u64, kind: &str) -> std::io::Result<Content> {
    let start = part.start;
    // What an MBR protects is a GPT, which is not there.
    if start > whole || kind == table::PROTECTIVE {
        return Ok(Content::Other);
    }
    let first: [u8; 512] = bytes(file, start);
    if bytes::<2>(file, start + 1080) == [0x53, 0xef] {
        return Ok(Content::Ext);
    }
    if first.starts_with(b"LUKS\xba\xbe") {
        return Ok(Content::Luks);
    }
    if &first[54..57] == b"FAT" || &first[82..87] == b"FAT32" {
        return Ok(Content::Fat);
    }
    let known = first.starts_with(b"XFSB")
        || (0..4).any(|sector| bytes::<8>(file, start + sector * 512) == *b"LABELONE")
        || bytes::<8>(file, start + 0x1_0040) == *b"_BHRfS_M";
    let swap = [4096u64, 8192, 16384, 65536].into_iter().any(|page| {
        let magic: [u8; 10] = bytes(file, start + page - 10);
        &magic == b"SWAPSPACE2" || &magic == b"SWAP-SPACE"
    });
    let program = PROGRAMS.contains(&kind) && part.end - start <= PROGRAM;
    if known || part.end > whole {
        return Ok(Content::Other);
    }
    if swap || program {
        return Ok(Content::Bytes);
    }
    Ok(match raw::is_zero(file, part)? {
        true => Content::NoFiles,
        false => Content::Other,
    })
}

/// Exit code of blkid(8) where it knows nothing.
const NOTHING: i32 = 2;

/// Type, UUID and label of the file system there, empty where blkid(8) knows none; `None` where
/// it cannot tell.
fn system(raw: &Path, content: Content, start: u64, size: u64) -> Option<FileSystem> {
    if content == Content::NoFiles {
        return Some(FileSystem::default());
    }
    let printed = blkid(raw, start, size).text().ok()?;
    let pairs = printed.lines().filter_map(|line| line.split_once('='));
    Some(FileSystem::of_blkid(pairs))
}

fn blkid(raw: &Path, start: u64, size: u64) -> Program {
    let [start, size] = [start, size].map(|bytes| bytes.to_string());
    Program::new("blkid")
        .args(["-p", "-o", "export", "-O", &start, "-S", &size])
        .arg(raw)
        .on_foreign_file()
        .seeing(raw)
        .done_with(NOTHING)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn who_reads_a_disk_of_others_sees_nothing_else() {
        let raw = Path::new("/a/disk");
        for program in [blkid(raw, 0, 512), super::super::table::sfdisk(raw)] {
            assert_eq!(program.sees(), Some(vec![raw]), "{}", program.line());
        }
    }

    pub(in super::super) fn disk(size: u64) -> (tempfile::NamedTempFile, File) {
        let temporary = tempfile::NamedTempFile::new().unwrap();
        let file = temporary.reopen().unwrap();
        file.set_len(size).unwrap();
        (temporary, file)
    }

    fn partition(raw: &Path, table: &str) {
        let sfdisk = Program::new("sfdisk").args(["-q"]).arg(raw);
        sfdisk.input(table).run().unwrap();
    }

    pub(in super::super) fn contents(raw: &Path) -> Vec<(u32, Content)> {
        let volumes = volumes(raw).unwrap();
        volumes.iter().map(|v| (v.number, v.content)).collect()
    }

    #[test]
    fn volumes_are_known_by_their_bytes() {
        let (raw, file) = disk(16 << 20);
        let raw = raw.path();
        assert_eq!(contents(raw), [(0, Content::NoFiles)]);
        file.write_all_at(b"XFSB", 0).unwrap();
        assert_eq!(contents(raw), [(0, Content::Other)]);
        file.write_all_at(&[0x53, 0xef], 1080).unwrap();
        assert_eq!(contents(raw), [(0, Content::Ext)]);
        file.write_all_at(&[0; 2048], 0).unwrap();
        let grub = "21686148-6449-6E6F-744E-656564454649";
        partition(raw, &format!("label: gpt\nsize=2M, type={grub}\nsize=8M\n"));
        let second = volumes(raw).unwrap()[1].start;
        file.write_all_at(b"LUKS\xba\xbe", second).unwrap();
        assert_eq!(contents(raw)[1], (2, Content::Luks));
        // GRUB's program, and what only says that it is one.
        file.write_all_at(b"R\xe8", 1 << 20).unwrap();
        assert_eq!(contents(raw)[0], (1, Content::Bytes));
        file.write_all_at(&[0x53, 0xef], (1 << 20) + 1080).unwrap();
        assert_eq!(contents(raw)[0], (1, Content::Ext));
    }

    #[test]
    fn an_old_swap_signature_hides_no_file_system() {
        let (raw, file) = disk(16 << 20);
        file.write_all_at(b"SWAPSPACE2", 4086).unwrap();
        assert_eq!(contents(raw.path()), [(0, Content::Bytes)]);
        // A volume descriptor of ISO 9660, which leaves the first 32 KiB alone.
        file.write_all_at(b"\x01CD001\x01", 32 << 10).unwrap();
        file.write_all_at(b"\xffCD001\x01", 34 << 10).unwrap();
        assert_eq!(contents(raw.path()), [(0, Content::Other)]);
    }

    /// As mdadm(8) writes it with metadata 1.2, which leaves the first 4 KiB alone.
    fn make_member(file: &File) {
        let mut superblock = [0; 256];
        superblock[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        superblock[4] = 1;
        superblock[0x90] = 8;
        file.write_all_at(&superblock, 4096).unwrap();
    }

    #[test]
    fn a_table_from_before_hides_no_member_of_a_raid() {
        let (raw, file) = disk(16 << 20);
        let raw = raw.path();
        partition(raw, "label: dos\nstart=2048, size=8192, type=83\n");
        file.write_all_at(&[0x53, 0xef], (1 << 20) + 1080).unwrap();
        assert_eq!(contents(raw), [(1, Content::Ext)]);
        make_member(&file);
        assert_eq!(contents(raw), [(0, Content::Other)]);
    }

    #[test]
    fn what_was_there_before_hides_nothing() {
        let made: [&[&'static str]; 4] = [
            &["mkfs.vfat", "-F", "16"],
            &["mkfs.vfat", "-F", "32"],
            &["mke2fs", "-q", "-t", "ext2"],
            &["mke2fs", "-q", "-t", "ext4"],
        ];
        for command in made {
            let (raw, file) = disk(64 << 20);
            let raw = raw.path();
            let program = Program::new(command[0]).args(&command[1..]).arg(raw);
            program.run().unwrap();
            assert!(contents(raw)[0].1.is_read_here(), "{command:?}");
            make_member(&file);
            assert_eq!(contents(raw), [(0, Content::Other)], "{command:?}");
        }
        // Two at once, of which blkid(8) names none.
        let (raw, file) = disk(64 << 20);
        let raw = raw.path();
        Program::new("mke2fs").args(["-q"]).arg(raw).run().unwrap();
        file.write_all_at(b"\x01CD001\x01", 32 << 10).unwrap();
        file.write_all_at(b"\xffCD001\x01", 34 << 10).unwrap();
        assert_eq!(contents(raw), [(0, Content::Other)]);
    }

    #[test]
    fn only_zeroes_and_what_is_known_hold_no_files() {
        let (raw, file) = disk(32 << 20);
        let raw = raw.path();
        partition(raw, "label: gpt\nsize=8M\nsize=8M\nsize=2M\n");
        let starts: Vec<u64> = volumes(raw).unwrap().iter().map(|v| v.start).collect();
        let all = |content| (1..4).map(|n| (n, content)).collect::<Vec<_>>();
        assert_eq!(contents(raw), all(Content::NoFiles));
        // Wherever in the partition: as md, ISO 9660, ZFS and nobody's file system have it.
        for at in [4096, 32 << 10, 1 << 20, (2 << 20) - 1] {
            for start in &starts {
                file.write_all_at(b"x", start + at).unwrap();
            }
            assert_eq!(contents(raw), all(Content::Other), "{at}");
            for start in &starts {
                file.write_all_at(&[0], start + at).unwrap();
            }
        }
        file.write_all_at(b"SWAPSPACE2", starts[0] + 4086).unwrap();
        file.write_all_at(b"x", starts[0] + (1 << 20)).unwrap();
        assert_eq!(contents(raw)[0], (1, Content::Bytes));
    }

    #[test]
    fn stale_sectors_do_not_hide_a_table() {
        let (raw, file) = disk(16 << 20);
        let raw = raw.path();
        partition(raw, "label: dos\nstart=2048, size=8192, type=83\n");
        file.write_all_at(&[0x53, 0xef], (1 << 20) + 1080).unwrap();
        file.write_all_at(b"FAT16   ", 54).unwrap();
        file.write_all_at(&[0x53, 0xef], 1080).unwrap();
        assert_eq!(contents(raw), [(1, Content::Ext)]);
    }

    #[test]
    fn a_fat_without_a_table_is_one() {
        for bits in ["12", "16", "32"] {
            let (raw, file) = disk(64 << 20);
            let raw = raw.path();
            let made = Program::new("mkfs.vfat").args(["-F", bits]).arg(raw).run();
            made.unwrap();
            assert_eq!(contents(raw), [(0, Content::Fat)], "{bits}");
            // The text that other systems write there.
            file.write_all_at(&[b'x'; 64], 446).unwrap();
            assert_eq!(contents(raw), [(0, Content::Fat)], "{bits}");
        }
    }
}
