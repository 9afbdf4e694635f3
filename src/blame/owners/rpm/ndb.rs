//! rpm's own database, as openSUSE has it (rpm's lib/backend/ndb/rpmpkg.c): a head, slots that tell where
//! a header lies, the headers.

use super::little;

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT: u32 = u32::from_le_bytes(*b"Slot");
const BLOB: u32 = u32::from_le_bytes(*b"BlbS");

/// Bytes of a page of slots, of a slot, and of what a place is counted in.
const PAGE: usize = 4096;
const UNIT: usize = 16;

pub(super) fn headers(file: &[u8], _log: &[u8]) -> Option<Vec<Vec<u8>>> {
    if little(file, 0)? != MAGIC {
        return None;
    }
    let pages = little(file, 12)? as usize;
    let slots = file.get(2 * UNIT..file.len().min(pages.saturating_mul(PAGE)))?;
    // Two slots with one place would make more of the file than it has.
    let mut budget = file.len();
    let mut headers = vec![];
    for slot in slots.chunks_exact(UNIT) {
        if little(slot, 0)? != SLOT || little(slot, 4)? == 0 {
            continue;
        }
        let header = blob(file, slot)?;
        budget = budget.checked_sub(header.len())?;
        headers.push(header.to_vec());
    }
    Some(headers)
}

fn blob<'f>(file: &'f [u8], slot: &[u8]) -> Option<&'f [u8]> {
    let at = (little(slot, 8)? as usize).checked_mul(UNIT)?;
    let head = file.get(at..)?;
    // It says which package's it is.
    if little(head, 0)? != BLOB || little(head, 4)? != little(slot, 4)? {
        return None;
    }
    let length = little(head, 12)? as usize;
    head.get(UNIT..UNIT.checked_add(length)?)
}
