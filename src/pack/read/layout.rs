//! Where the blocks of a `.xz` file lie: its index, which is at its end.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::error::{Context as _, Error, Result};
use crate::pack::container::{self, END_MAGIC, HEADER_SIZE, MAGIC, Record};

/// Bytes of a stream's footer, and of its header.
pub const FOOTER_SIZE: usize = HEADER_SIZE;

/// An index larger than this, in bytes, is not believed: it has room for millions of blocks.
const LARGEST_END: u64 = 64 << 20;

/// One block of a `.xz` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where the block begins in the `.xz` file.
    pub offset: u64,
    /// How many bytes it takes there, with padding and check.
    pub stored: u64,
    /// Where its bytes belong on the disk.
    pub start: u64,
    /// How many bytes of the disk it has.
    pub len: u64,
    unpadded: u64,
}

impl Place {
    /// Its line in the index.
    pub(super) fn record(&self) -> Record {
        Record {
            unpadded: self.unpadded,
            uncompressed: self.len,
        }
    }
}

/// The blocks of a `.xz` file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    flags: [u8; 2],
    blocks: Vec<Place>,
    size: u64,
    stored: u64,
}

impl Layout {
    /// Reads the layout of a complete file.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged or not one `.xz` stream.
    pub fn read(file: &File) -> Result<Self> {
        let doing = || String::from("reading the index of blocks");
        let size = file.metadata().doing(doing)?.len();
        if size < 2 * HEADER_SIZE as u64 {
            return Err(broken("it is too short"));
        }
        let mut head = [0; HEADER_SIZE];
        file.read_exact_at(&mut head, 0).doing(doing)?;
        let mut footer = [0; FOOTER_SIZE];
        file.read_exact_at(&mut footer, size - FOOTER_SIZE as u64)
            .doing(doing)?;
        check_magic(&head)?;
        let len = Self::end_len(&footer, size)?;
        let mut end = vec![0; len as usize];
        file.read_exact_at(&mut end, size - len).doing(doing)?;
        Self::parse(&head, &end, size)
    }

    /// How many bytes index and footer take at the end of a file of `size` bytes, from its last
    /// [`FOOTER_SIZE`] bytes.
    ///
    /// # Errors
    /// When these bytes are not the end of a `.xz` file.
    pub fn end_len(footer: &[u8; FOOTER_SIZE], size: u64) -> Result<u64> {
        let (sum, fields) = (number(&footer[..4]), &footer[4..10]);
        if footer[10..] != END_MAGIC {
            return Err(broken("it does not end as .xz files do")
                .hint("the file may be cut short: fetch or pack it again"));
        }
        if crc32fast::hash(fields) != sum {
            return Err(broken("the check sum of its footer is wrong"));
        }
        let index = (u64::from(number(&fields[..4])) + 1) * 4;
        let len = index + FOOTER_SIZE as u64;
        if len > LARGEST_END || len + HEADER_SIZE as u64 > size {
            return Err(broken("its footer names an impossible index"));
        }
        Ok(len)
    }

    /// Reads the layout from a file's first [`FOOTER_SIZE`] bytes and its last
    /// [`Layout::end_len`] bytes; `size` is the file's.
    ///
    /// # Errors
    /// When they do not belong to one `.xz` stream of this size.
    pub fn parse(head: &[u8; FOOTER_SIZE], end: &[u8], size: u64) -> Result<Self> {
        check_magic(head)?;
        let flags = [head[6], head[7]];
        if crc32fast::hash(&flags) != number(&head[8..]) {
            return Err(broken("the check sum of its header is wrong"));
        }
        let footer: &[u8; FOOTER_SIZE] = end
            .last_chunk()
            .ok_or_else(|| broken("its index is missing"))?;
        if Self::end_len(footer, size)? != end.len() as u64 {
            return Err(broken("its footer names another index"));
        }
        if footer[8..10] != flags {
            return Err(broken("its header and footer differ"));
        }
        if flags[0] != 0 || flags[1] > 0x0f {
            return Err(Error::stage("the .xz file is of an unknown kind")
                .hint("`xz -d` of a newer version may be able to read it"));
        }
        let records = records(&end[..end.len() - FOOTER_SIZE])?;
        let (blocks, disk, next) = places(&records)?;
        match (next + end.len() as u64).cmp(&size) {
            std::cmp::Ordering::Equal => Ok(Layout {
                flags,
                blocks,
                size: disk,
                stored: size,
            }),
            std::cmp::Ordering::Less => Err(Error::stage("the .xz file has more than one stream")
                .cause("virt-builder cannot read such files either")
                .hint("`xz -d` reads it; `imgforge disk pack` makes one stream of it")),
            std::cmp::Ordering::Greater => Err(broken("its index is about a larger file")),
        }
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Place] {
        &self.blocks
    }

    /// Size of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Size of the `.xz` file, in bytes.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// The stream's flags: which check its blocks have.
    pub(super) fn flags(&self) -> [u8; 2] {
        self.flags
    }
}

/// An error about the file's bytes.
pub(super) fn broken(why: &str) -> Error {
    Error::stage("the .xz file is damaged").cause(why)
}

fn check_magic(head: &[u8; HEADER_SIZE]) -> Result<()> {
    if head[..6] == MAGIC {
        return Ok(());
    }
    Err(Error::stage("this is not a .xz file").cause("its first bytes are not those of one"))
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// The records of an index with its check sum.
fn records(index: &[u8]) -> Result<Vec<Record>> {
    let wrong = || broken("its index makes no sense");
    let (body, sum) = index.split_last_chunk::<4>().ok_or_else(wrong)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(broken("the check sum of its index is wrong"));
    }
    let mut rest = body.strip_prefix(&[0]).ok_or_else(wrong)?;
    let count = container::take_number(&mut rest).ok_or_else(wrong)?;
    if count > rest.len() as u64 / 2 {
        return Err(wrong());
    }
    let mut records = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let unpadded = container::take_number(&mut rest).ok_or_else(wrong)?;
        let uncompressed = container::take_number(&mut rest).ok_or_else(wrong)?;
        records.push(Record {
            unpadded,
            uncompressed,
        });
    }
    if rest.len() > 3 || rest.iter().any(|byte| *byte != 0) {
        return Err(wrong());
    }
    Ok(records)
}

/// The places of the blocks, the disk's size, and where the last block ends.
fn places(records: &[Record]) -> Result<(Vec<Place>, u64, u64)> {
    let wrong = || broken("its index names impossible sizes");
    let (mut offset, mut start) = (HEADER_SIZE as u64, 0u64);
    let mut blocks = Vec::with_capacity(records.len());
    for record in records {
        if record.unpadded < 5 || record.unpadded > i64::MAX as u64 {
            return Err(wrong());
        }
        let stored = record.unpadded.next_multiple_of(4);
        blocks.push(Place {
            offset,
            stored,
            start,
            len: record.uncompressed,
            unpadded: record.unpadded,
        });
        let limit = |sum: Option<u64>| sum.filter(|sum| *sum <= i64::MAX as u64);
        offset = limit(offset.checked_add(stored)).ok_or_else(wrong)?;
        start = limit(start.checked_add(record.uncompressed)).ok_or_else(wrong)?;
    }
    Ok((blocks, start, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use container::{CRC64, end, stream_header};

    fn file(records: &[Record]) -> Vec<u8> {
        let blocks: u64 = records.iter().map(|r| r.unpadded.next_multiple_of(4)).sum();
        [
            stream_header(CRC64),
            vec![1; blocks as usize],
            end(CRC64, records),
        ]
        .concat()
    }

    fn parse(bytes: &[u8], size: u64) -> Result<Layout> {
        let head = bytes.first_chunk().unwrap();
        let len = Layout::end_len(bytes.last_chunk().unwrap(), size)? as usize;
        Layout::parse(head, &bytes[bytes.len().saturating_sub(len)..], size)
    }

    const RECORDS: [Record; 2] = [
        Record {
            unpadded: 101,
            uncompressed: 4096,
        },
        Record {
            unpadded: 40,
            uncompressed: 10,
        },
    ];

    #[test]
    fn the_index_says_where_blocks_lie() {
        let bytes = file(&RECORDS);
        let layout = parse(&bytes, bytes.len() as u64).unwrap();
        assert_eq!(layout.size(), 4106);
        let places: Vec<_> = layout
            .blocks()
            .iter()
            .map(|p| (p.offset, p.stored, p.start, p.len))
            .collect();
        assert_eq!(places, [(12, 104, 0, 4096), (116, 40, 4096, 10)]);
    }

    #[test]
    fn every_flipped_bit_of_header_index_and_footer_is_noticed() {
        let bytes = file(&RECORDS);
        let end = bytes.len() - 144 - 12;
        for at in (0..12).chain(bytes.len() - end..bytes.len()) {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert!(parse(&bytes, bytes.len() as u64).is_err(), "{at}.{bit}");
            }
        }
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        let bytes = file(&RECORDS);
        let size = bytes.len() as u64;
        let more = parse(&bytes, size + 32).unwrap_err();
        assert!(more.message().contains("more than one stream"), "{more}");
        assert!(parse(&bytes, size - 4).is_err());
        for record in [
            (4, 1),
            (u64::MAX >> 1, 1),
            (5, u64::MAX >> 1),
            (i64::MAX as u64 - 4, 1),
        ] {
            let records = [
                Record {
                    unpadded: record.0,
                    uncompressed: record.1,
                },
                RECORDS[0],
            ];
            let end = end(CRC64, &records);
            let head = stream_header(CRC64);
            let parsed = Layout::parse(head.first_chunk().unwrap(), &end, 1 << 40);
            assert!(parsed.is_err(), "{record:?}");
        }
    }
}
