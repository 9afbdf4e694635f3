//! GPT: the table of partitions at both ends of a disk, as a value (UEFI specification, chapter 5), in
//! sectors of 512 bytes.

use uuid::Uuid;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// Sectors of the table at the start of a disk: MBR, header, entries.
pub const HEAD: u64 = 34;

/// Sectors of its backup at the end of the disk: entries, header.
pub const TAIL: u64 = 33;

/// Partitions end where a multiple of so many sectors begins.
const GRAIN: u64 = 2048;

/// No disk has so many sectors.
const LARGEST: u64 = 1 << 50;

const MAGIC: &[u8; 8] = b"EFI PART";

/// Bytes of an entry, and the most entries that [`TAIL`] has room for.
const ENTRY: usize = 128;
const MOST: usize = 128;

/// Places in a header, in bytes.
const SIZE: usize = 12;
const OWN_SUM: usize = 16;
const OWN_PLACE: usize = 24;
const OTHER_PLACE: usize = 32;
const FIRST_USABLE: usize = 40;
const LAST_USABLE: usize = 48;
const DISK: usize = 56;
const ENTRIES: usize = 72;
const COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;
const SUM_OF_ENTRIES: usize = 88;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The first header, as long as it says.
    header: Vec<u8>,
    entries: Vec<u8>,
}

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As in `/dev/sda1`.
    pub number: usize,
    /// Its type.
    pub kind: Uuid,
    /// Its own id, PARTUUID.
    pub id: Uuid,
    /// Its first sector.
    pub first: u64,
    /// Its last sector.
    pub last: u64,
}

impl Partition {
    /// Its first byte.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.first * SECTOR
    }

    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        (self.last - self.first + 1) * SECTOR
    }
}

fn short(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |n| u32::from_le_bytes(*n))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |n| u64::from_le_bytes(*n))
}

fn put(bytes: &mut [u8], at: usize, number: &[u8]) {
    bytes[at..at + number.len()].copy_from_slice(number);
}

fn id(bytes: &[u8], at: usize) -> Uuid {
    let id = bytes[at..].first_chunk();
    id.map_or(Uuid::nil(), |id| Uuid::from_bytes_le(*id))
}

impl Table {
    /// Reads the table from the first [`HEAD`] sectors of a disk.
    ///
    /// # Errors
    /// What is wrong with it, or not known here.
    pub fn parse(head: &[u8]) -> Result<Table, &'static str> {
        let sector = SECTOR as usize;
        let header = head.get(sector..2 * sector).ok_or("it is too short")?;
        if !header.starts_with(MAGIC) {
            return Err("there is no GPT");
        }
        let size = short(header, SIZE) as usize;
        let mut header = match size {
            92..=512 => header[..size].to_vec(),
            _ => return Err("its header has no size that can be"),
        };
        let sum = short(&header, OWN_SUM);
        put(&mut header, OWN_SUM, &[0; 4]);
        if crc32fast::hash(&header) != sum {
            return Err("the check sum of its header is wrong");
        }
        let count = short(&header, COUNT) as usize;
        let usual = long(&header, OWN_PLACE) == 1 && long(&header, ENTRIES) == 2;
        if !usual || short(&header, ENTRY_SIZE) as usize != ENTRY || !(1..=MOST).contains(&count) {
            return Err("it is not laid out as usual: 128 entries of 128 bytes from sector 2 on");
        }
        let entries = head[2 * sector..].get(..count * ENTRY);
        let entries = entries.ok_or("it is too short")?.to_vec();
        if crc32fast::hash(&entries) != short(&header, SUM_OF_ENTRIES) {
            return Err("the check sum of its entries is wrong");
        }
        let table = Table { header, entries };
        let (from, to) = table.usable();
        let other = long(&table.header, OTHER_PLACE);
        let room = other.checked_sub(TAIL).filter(|_| other < LARGEST);
        let mut lines = table.partitions().into_iter();
        let inside =
            |part: Partition| from <= part.first && part.first <= part.last && part.last <= to;
        match from >= HEAD - 1 && room.is_some_and(|last| to <= last) && lines.all(inside) {
            true => Ok(table),
            false => Err("a partition lies outside of what the table covers"),
        }
    }

    /// The first and the last sector that partitions may have.
    fn usable(&self) -> (u64, u64) {
        (
            long(&self.header, FIRST_USABLE),
            long(&self.header, LAST_USABLE),
        )
    }

    /// The id of the disk.
    #[must_use]
    pub fn id(&self) -> Uuid {
        id(&self.header, DISK)
    }

    /// Sectors of the disk.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        long(&self.header, OTHER_PLACE) + 1
    }

    /// Its lines, by number.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let lines = self.entries.chunks_exact(ENTRY).enumerate();
        let used = lines.filter(|(_, line)| line[..16] != [0; 16]);
        let part = |(index, line): (usize, &[u8])| Partition {
            number: index + 1,
            kind: id(line, 0),
            id: id(line, 16),
            first: long(line, 32),
            last: long(line, 40),
        };
        used.map(part).collect()
    }

    /// The partition that ends last.
    #[must_use]
    pub fn last(&self) -> Option<Partition> {
        let parts = self.partitions().into_iter();
        parts.max_by_key(|part| part.last)
    }

    /// The table of a disk of so many sectors, with the same partitions.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn moved(&self, sectors: u64) -> Result<Table, String> {
        let needed = self.last().map_or(HEAD, |part| part.last + 1) + TAIL;
        if sectors < needed {
            return Err(format!(
                "its partitions need {needed} sectors, and there are {sectors}"
            ));
        }
        let mut table = self.clone();
        put(&mut table.header, OTHER_PLACE, &(sectors - 1).to_le_bytes());
        let last = sectors - TAIL - 1;
        put(&mut table.header, LAST_USABLE, &last.to_le_bytes());
        Ok(table)
    }

    /// Lets the partition that ends last take what is free behind it, in whole MiB. Gives it as it is
    /// then.
    pub fn grow_last(&mut self) -> Option<Partition> {
        let mut part = self.last()?;
        let end = (self.usable().1 + 1) / GRAIN * GRAIN;
        part.last = part.last.max(end.saturating_sub(1));
        let at = (part.number - 1) * ENTRY + 40;
        put(&mut self.entries, at, &part.last.to_le_bytes());
        Some(part)
    }

    /// A header that stands at `own` and knows the other one, and has its entries at `entries`.
    fn header(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        put(&mut header, OWN_PLACE, &own.to_le_bytes());
        put(&mut header, OTHER_PLACE, &other.to_le_bytes());
        put(&mut header, ENTRIES, &entries.to_le_bytes());
        let sum = crc32fast::hash(&self.entries);
        put(&mut header, SUM_OF_ENTRIES, &sum.to_le_bytes());
        put(&mut header, OWN_SUM, &[0; 4]);
        let sum = crc32fast::hash(&header);
        put(&mut header, OWN_SUM, &sum.to_le_bytes());
        header
    }

    /// Writes the table into the first [`HEAD`] sectors of a disk, which are `head`: into the MBR, too, where
    /// it protects a GPT. What of them is not the table's stays.
    pub fn write_head(&self, head: &mut [u8]) {
        let sectors = self.sectors();
        let size = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
        for line in head[446..510].chunks_exact_mut(16) {
            if line[4] == 0xee {
                put(line, 12, &size.to_le_bytes());
            }
        }
        let header = self.header(1, sectors - 1, 2);
        put(head, SECTOR as usize, &header);
        put(head, 2 * SECTOR as usize, &self.entries);
    }

    /// The last [`TAIL`] sectors of the disk.
    #[must_use]
    pub fn tail(&self) -> Vec<u8> {
        let last = self.sectors() - 1;
        let mut tail = vec![0; (TAIL * SECTOR) as usize];
        put(&mut tail, 0, &self.entries);
        let header = self.header(last, 1, last - (TAIL - 1));
        put(&mut tail, ((TAIL - 1) * SECTOR) as usize, &header);
        tail
    }
}
