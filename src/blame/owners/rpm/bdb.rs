//! Berkeley DB's hash, as RHEL 8 and older have it (its src/dbinc/db_page.h): pages of pairs of a number
//! and a header, which lies on pages of its own.

use super::little;

/// Where its first page says what it is, and how large pages are.
const MAGIC: (usize, u32) = (12, 0x0006_1561);
const SIZE: usize = 20;

/// A page's head: the next page of a long value, how many items it has, how much of it is used, its
/// kind, and the length of all that.
const NEXT: usize = 16;
const ITEMS: usize = 20;
const USED: usize = 22;
const KIND: usize = 25;
const HEAD: usize = 26;

/// Kinds of pages: of pairs, sorted and not, and of a long value.
const PAIRS: [u8; 2] = [2, 13];
const LONG: u8 = 7;

/// An item that lies elsewhere: where, and how long it is; and one that lies here.
const ELSEWHERE: u8 = 3;
const HERE: u8 = 1;

pub(super) fn headers(file: &[u8], _log: &[u8]) -> Option<Vec<Vec<u8>>> {
    if little(file, MAGIC.0)? != MAGIC.1 {
        return None;
    }
    let size = little(file, SIZE)? as usize;
    if !(512..=64 << 10).contains(&size) {
        return None;
    }
    let mut budget = file.len();
    let mut headers = vec![];
    for page in file
        .chunks_exact(size)
        .filter(|page| PAIRS.contains(&page[KIND]))
    {
        // A number, then what it stands for.
        for value in (1..half(page, ITEMS)?).step_by(2) {
            let at = |item: usize| half(page, HEAD + 2 * item);
            let item = page.get(at(value)?..at(value - 1)?)?;
            let header = match *item.first()? {
                ELSEWHERE => long(file, size, item)?,
                HERE => item[1..].to_vec(),
                _ => continue,
            };
            budget = budget.checked_sub(header.len())?;
            // The first is what number comes next.
            if header.len() > 8 {
                headers.push(header);
            }
        }
    }
    Some(headers)
}

fn long(file: &[u8], size: usize, item: &[u8]) -> Option<Vec<u8>> {
    let (mut next, length) = (little(item, 4)? as usize, little(item, 8)? as usize);
    if length > file.len() {
        return None;
    }
    let mut value = Vec::with_capacity(length);
    while value.len() < length {
        let at = next.checked_mul(size)?;
        let page = file.get(at..at.checked_add(size)?)?;
        let used = half(page, USED).filter(|used| *used > 0)?;
        if page[KIND] != LONG {
            return None;
        }
        value.extend_from_slice(page.get(HEAD..HEAD + used)?);
        next = little(page, NEXT)? as usize;
    }
    value.truncate(length);
    Some(value)
}

fn half(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}
