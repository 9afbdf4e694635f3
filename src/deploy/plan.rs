//! What a disk becomes: known before anything is written to it.

use crate::blockdev::Device;
use crate::error::{Error, Result};
use crate::gpt::{HEAD, Partition, SECTOR, TAIL, Table};
use crate::host::sparse;
use crate::pack::read::Known;
use crate::units::Size;
use uuid::Uuid;

use super::record::{PLACE, SIZE};

/// What is written last of all: the first MiB, before the first partition.
pub(super) const FIRST: u64 = 1 << 20;

/// Bytes from the start of a partition that tell what is in it.
const TELLING: u64 = 128 << 10;

/// What a disk becomes.
#[derive(Debug)]
pub(super) struct Plan {
    /// The first MiB, with the table of this disk.
    pub(super) head: Vec<u8>,
    /// The last sectors of this disk: the table's backup.
    pub(super) tail: Vec<u8>,
    /// Bytes of the image.
    pub(super) image: u64,
    /// Bytes of this disk.
    pub(super) disk: u64,
    /// The id in the table.
    pub(super) id: Uuid,
    /// The last partition, which has the root, as it is on this disk.
    pub(super) root: Partition,
}

/// An image that cannot be written to a disk.
fn refused(why: &str, hint: &str) -> Error {
    Error::stage("this image cannot be put onto a disk")
        .cause(why)
        .hint(hint)
}

impl Plan {
    /// What a disk of `disk` bytes becomes by this image.
    ///
    /// # Errors
    /// When it is too small, the image has no table or no root that could grow here, or it cannot be read.
    pub(super) fn new(image: &Known, disk: u64) -> Result<Plan> {
        let size = image.layout().size();
        check_size(size, disk)?;
        let rebuild = "build it by a recipe with `install: bootstrap`, whose disks have a GPT and an ext4 root";
        if size < FIRST + TAIL * SECTOR || !size.is_multiple_of(SECTOR) {
            return Err(refused("it is too small to have partitions", rebuild));
        }
        let mut head = image.part(0..FIRST)?;
        let table = Table::parse(&head).map_err(|why| {
            let what = match head[510..512] == [0x55, 0xaa] && why.contains("no GPT") {
                true => "its disk has an MBR, and no GPT",
                false => why,
            };
            refused(what, rebuild)
        })?;
        let parts = table.partitions();
        let first = parts.iter().map(Partition::start).min();
        let own = &head[PLACE as usize..(PLACE + SIZE) as usize];
        if first.is_none_or(|first| first < FIRST) || !sparse::is_zero(own) {
            let why = "something is in its first MiB, where imgforge remembers how far it is";
            return Err(refused(why, rebuild));
        }
        let mut table = table
            .moved(disk / SECTOR)
            .map_err(|why| refused(&why, rebuild))?;
        let old = table
            .last()
            .ok_or_else(|| refused("it has no partition", rebuild))?;
        let telling = old.start()..old.start() + TELLING.min(old.size());
        let content = content(&image.part(telling)?);
        if content != "ext4" {
            let why = format!(
                "its last partition, {}, has {content}, which cannot grow here",
                old.number
            );
            return Err(refused(&why, rebuild));
        }
        let root = table.grow_last().unwrap_or(old);
        table.write_head(&mut head);
        Ok(Plan {
            head,
            tail: table.tail(),
            image: size,
            disk,
            id: table.id(),
            root,
        })
    }
}

impl Plan {
    /// Whether what is before the record's place is what this plan puts there, as far as a cut let it come.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_under_way(&self, device: &dyn Device) -> Result<bool> {
        let mut head = vec![0; PLACE as usize];
        device.read(&mut head, 0)?;
        let sector = SECTOR as usize;
        let mut pairs = head.chunks(sector).zip(self.head.chunks(sector));
        let first = pairs.next().is_none_or(|(found, _)| sparse::is_zero(found));
        Ok(first && pairs.all(|(found, own)| found == own || sparse::is_zero(found)))
    }

    /// Whether the first sector is there, which is written last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_whole(&self, device: &dyn Device) -> Result<bool> {
        let mut first = vec![0; SECTOR as usize];
        device.read(&mut first, 0)?;
        Ok(self.head.starts_with(&first))
    }
}

/// Whether an image of `size` bytes fits on a disk.
pub(super) fn check_size(size: u64, disk: u64) -> Result<()> {
    if size <= disk {
        return Ok(());
    }
    let [has, needs] = [disk, size].map(|size| Size::bytes(size).human());
    let error = Error::host(format!("the disk has {has}, and the image needs {needs}"));
    Err(error
        .cause(format!(
            "{disk} bytes are less than {size}, and nothing was written"
        ))
        .hint("choose a larger disk, or build the image with a smaller `machine: {disk: …}`"))
}

/// What begins so: a file system or what holds some.
fn content(bytes: &[u8]) -> &'static str {
    let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    match () {
        () if has(0, b"LUKS\xba\xbe") => "an encrypted volume (LUKS)",
        () if has(512, b"LABELONE") => "volumes of LVM",
        () if has(4096, &[0xfc, 0x4e, 0x2b, 0xa9]) => "a part of a RAID (MD)",
        () if has(0, b"XFSB") => "XFS",
        () if has((64 << 10) + 64, b"_BHRfS_M") => "btrfs",
        // Only ext4 has extents.
        () if has(1080, &[0x53, 0xef]) => match bytes[1024 + 0x60] & 0x40 {
            0 => "ext2 or ext3",
            _ => "ext4",
        },
        () => "nothing that is known",
    }
}

/// What was on a disk before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    /// What it is, in words; nothing where it is empty.
    pub(super) what: Option<String>,
    /// Where its partitions began, in bytes.
    pub(super) starts: Vec<u64>,
    /// Whether its first sector says that there is a table: a machine may boot from it.
    pub(super) boots: bool,
    /// The id in its GPT.
    pub(super) table: Option<Uuid>,
    /// Whether nothing but zeros is before the record's place: as an installation leaves it until its end.
    pub(super) is_bare: bool,
}

/// Looks at the ends of a disk: what any system leaves on one is there.
pub(super) fn look(device: &dyn Device) -> Result<Before> {
    let size = device.size();
    let mut head = vec![0; FIRST.min(size) as usize];
    device.read(&mut head, 0)?;
    let mut tail = vec![0; head.len()];
    device.read(&mut tail, size - head.len() as u64)?;
    let boots = head.get(510..512) == Some(&[0x55, 0xaa]);
    let is_bare = sparse::is_zero(&head[..head.len().min(PLACE as usize)]);
    if let Ok(table) = Table::parse(&head) {
        let parts = table.partitions();
        return Ok(Before {
            what: Some(format!("a GPT with {} partitions", parts.len())),
            starts: parts.iter().map(Partition::start).collect(),
            boots,
            table: Some(table.id()),
            is_bare,
        });
    }
    let mut before = Before {
        what: None,
        starts: vec![],
        boots,
        table: None,
        is_bare,
    };
    // What a cut has left of the record is nobody's.
    let own = PLACE as usize..(PLACE + SIZE) as usize;
    if let Some(own) = head.get_mut(own) {
        own.fill(0);
    }
    if boots {
        let lines = head[446..510].chunks_exact(16).filter(|line| line[4] != 0);
        let start = |line: &[u8]| {
            line[8..]
                .first_chunk()
                .map(|n| u64::from(u32::from_le_bytes(*n)))
        };
        before.starts = lines
            .filter_map(start)
            .map(|sector| sector * SECTOR)
            .collect();
        before.what = Some(format!("an MBR with {} partitions", before.starts.len()));
    } else if !sparse::is_zero(&head) || !sparse::is_zero(&tail) {
        before.what = Some("data that is not zeros, and no partition table".into());
    }
    Ok(before)
}

/// Sectors that hold the old table, and the new one.
pub(super) const TABLE: usize = (HEAD * SECTOR) as usize;
