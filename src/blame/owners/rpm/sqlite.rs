//! SQLite, as Fedora and its relatives have it (<https://www.sqlite.org/fileformat2.html>): the blobs of one
//! table. What its log has counts, as long as it was committed.

use std::collections::{HashMap, HashSet};

use super::big;

const MAGIC: &[u8] = b"SQLite format 3\0";

/// What the log begins with, whichever way its checksums are.
const LOG: u32 = 0x377f_0682;

/// Bytes of the log's head and of that of a page in it.
const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;

/// Kinds of pages of a table: with rows, with other pages.
const ROWS: u8 = 13;
const PAGES: u8 = 5;

/// The first page begins with the database's head.
const HEAD: usize = 100;

/// The headers of all packages.
pub(super) fn headers(file: &[u8], log: &[u8]) -> Option<Vec<Vec<u8>>> {
    let database = Database::new(file, log)?;
    let tables = database.rows(1)?;
    let packages = tables.iter().find_map(|row| {
        let is_table = column(row, 0)? == b"table" && column(row, 1)? == b"Packages";
        let root = column(row, 3).filter(|_| is_table)?;
        Some(
            root.iter()
                .fold(0u32, |all, byte| all << 8 | u32::from(*byte)),
        )
    });
    let rows = database.rows(packages?)?;
    let headers = rows.iter().map(|row| Some(column(row, 1)?.to_vec()));
    headers.collect()
}

/// Pages, by their numbers from 1.
struct Database<'d> {
    file: &'d [u8],
    log: HashMap<u32, &'d [u8]>,
    /// Bytes of both.
    bytes: usize,
    size: usize,
    usable: usize,
}

impl<'d> Database<'d> {
    fn new(file: &'d [u8], log: &'d [u8]) -> Option<Self> {
        if !file.starts_with(MAGIC) {
            return None;
        }
        let size = match u16::from_be_bytes(file.get(16..18)?.try_into().ok()?) {
            1 => 1 << 16,
            size => usize::from(size),
        };
        let usable = size.checked_sub(usize::from(*file.get(20)?))?;
        if !size.is_power_of_two() || usable < 480 {
            return None;
        }
        let bytes = file.len() + log.len();
        let log = logged(log, size).unwrap_or_default();
        Some(Database {
            file,
            log,
            bytes,
            size,
            usable,
        })
    }

    fn page(&self, number: u32) -> Option<&'d [u8]> {
        if let Some(page) = self.log.get(&number) {
            return Some(page);
        }
        let at = (number as usize).checked_sub(1)?.checked_mul(self.size)?;
        self.file.get(at..at.checked_add(self.size)?)
    }

    /// The rows of the table that begins at a page; nothing of a damaged one.
    fn rows(&self, root: u32) -> Option<Vec<Vec<u8>>> {
        let (mut rows, mut seen, mut left) = (vec![], HashSet::new(), vec![root]);
        // Cells that share their bytes would make more of the file than it has.
        let mut budget = self.bytes;
        while let Some(number) = left.pop() {
            if !seen.insert(number) {
                return None;
            }
            let page = self.page(number)?;
            let head = if number == 1 { HEAD } else { 0 };
            let count = usize::from(half(page, head + 3)?);
            let kind = *page.get(head)?;
            let cells = match kind {
                ROWS => head + 8,
                PAGES => head + 12,
                _ => return None,
            };
            for cell in 0..count {
                let cell = page.get(usize::from(half(page, cells + 2 * cell)?)..)?;
                match kind {
                    ROWS => {
                        let row = self.row(cell, &mut seen)?;
                        budget = budget.checked_sub(row.len())?;
                        rows.push(row);
                    }
                    _ => left.push(big(cell, 0)?),
                }
            }
            if kind == PAGES {
                left.push(big(page, head + 8)?);
            }
        }
        Some(rows)
    }

    /// The record of a cell, which may go on on other pages.
    fn row(&self, cell: &[u8], seen: &mut HashSet<u32>) -> Option<Vec<u8>> {
        let (length, rest) = varint(cell)?;
        let (_, rest) = varint(rest)?;
        let (length, usable) = (usize::try_from(length).ok()?, self.usable);
        let local = match length <= usable - 35 {
            true => length,
            false => {
                let least = (usable - 12) * 32 / 255 - 23;
                let more = least + (length - least) % (usable - 4);
                if more <= usable - 35 { more } else { least }
            }
        };
        let mut row = rest.get(..local)?.to_vec();
        let mut next = if local < length { big(rest, local)? } else { 0 };
        while row.len() < length {
            if !seen.insert(next) {
                return None;
            }
            let page = self.page(next)?.get(..usable)?;
            let count = (length - row.len()).min(usable - 4);
            row.extend_from_slice(&page[4..4 + count]);
            next = big(page, 0)?;
        }
        Some(row)
    }
}

/// The pages of a log, up to its last commit.
fn logged(log: &[u8], size: usize) -> Option<HashMap<u32, &[u8]>> {
    if big(log, 0)? & !1 != LOG || big(log, 8)? as usize != size {
        return None;
    }
    let salt = &log[16..24];
    let (mut pages, mut open) = (HashMap::new(), vec![]);
    for frame in log.get(LOG_HEAD..)?.chunks_exact(FRAME_HEAD + size) {
        let (head, page) = frame.split_at(FRAME_HEAD);
        // What is left of an earlier use of the file.
        if &head[8..16] != salt {
            break;
        }
        open.push((big(head, 0)?, page));
        if big(head, 4)? != 0 {
            pages.extend(open.drain(..));
        }
    }
    Some(pages)
}

/// A column of a record.
fn column(row: &[u8], wanted: usize) -> Option<&[u8]> {
    let (length, kinds) = varint(row)?;
    let length = usize::try_from(length).ok()?;
    let mut body = row.get(length..)?;
    let mut kinds = row.get(row.len() - kinds.len()..length)?;
    for column in 0.. {
        let (kind, rest) = varint(kinds)?;
        kinds = rest;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => kind.checked_sub(12)? / 2,
        };
        let (value, rest) = body.split_at_checked(usize::try_from(bytes).ok()?)?;
        if column == wanted {
            return Some(value);
        }
        body = rest;
    }
    None
}

/// A number of one to nine bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_share_their_bytes_are_no_table() {
        let mut file = vec![0; 1 << 16];
        file[..16].copy_from_slice(MAGIC);
        // Pages of 64 KiB; a page with rows, of which each has the same 30000 bytes.
        file[17] = 1;
        file[HEAD] = ROWS;
        let mut with = |count: u16| {
            file[HEAD + 3..HEAD + 5].copy_from_slice(&count.to_be_bytes());
            for cell in 0..usize::from(count) {
                let at = HEAD + 8 + 2 * cell;
                file[at..at + 2].copy_from_slice(&20_000u16.to_be_bytes());
            }
            file[20_000..20_004].copy_from_slice(&[0x81, 0xea, 0x30, 1]);
            let rows = Database::new(&file, &[]).unwrap().rows(1);
            rows.map(|rows| rows.len())
        };
        assert_eq!(with(2), Some(2));
        assert_eq!(with(1000), None);
    }
}
