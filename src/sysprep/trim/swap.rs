//! Empties swap space: what was swapped out are pieces of programs' memory, with their secrets.
//!
//! The header stays, and with it UUID, label and size: fstab and boot loaders name it.

use crate::error::Result;
use crate::fstab;
use crate::guest::Guestfs;

/// The header takes one page of the machine; the mark is in the page's last bytes.
const PAGES: &[usize] = &[4096, 8192, 16384, 65536];
const MARK: &[u8; 10] = b"SWAPSPACE2";
/// The mark of a suspended machine, whose memory is in the swap space.
const SUSPENDED: &[u8; 9] = b"S1SUSPEND";

/// What is written at both ends, as a discard leaves parts of the device's granularity.
const END: u64 = 64 << 10;

/// How much of a file is filled at once where space cannot be reserved without writing, in bytes.
const FILL_LIMIT: u64 = i32::MAX as u64;

/// The page with the header, marked as not suspended; nothing where there is none.
fn header(start: &[u8]) -> Option<Vec<u8>> {
    let page = PAGES.iter().find(|page| {
        let mark = start.get(**page - MARK.len()..**page).unwrap_or_default();
        mark == MARK || mark.starts_with(SUSPENDED)
    })?;
    let mut header = start[..*page].to_vec();
    header[*page - MARK.len()..].copy_from_slice(MARK);
    Some(header)
}

/// Empties a swap partition or volume.
pub(super) fn partition(guest: &Guestfs, device: &str) -> Result<()> {
    let size = guest.device_size(device)?;
    let count = size.min(END);
    let Some(header) = header(&guest.read_device(device, count as i32, 0)?) else {
        return Ok(());
    };
    if guest.blkdiscard(device).is_err() {
        guest.zero_device(device)?;
    }
    let zeroes = vec![0; count as usize];
    guest.write_device(device, &zeroes, 0)?;
    guest.write_device(device, &zeroes, (size - count) as i64)?;
    guest.write_device(device, &header, 0)
}

/// A swap file that was emptied.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    size: u64,
    header: Vec<u8>,
}

/// Takes the space of the swap files that fstab names. To be given back before [`restore`]: what
/// is reserved again for a file is not free.
pub(super) fn empty_files(guest: &Guestfs) -> Result<Vec<File>> {
    if !guest.is_file("/etc/fstab")? {
        return Ok(vec![]);
    }
    let fstab = guest.read_file("/etc/fstab")?;
    let mut emptied = Vec::new();
    for path in fstab::swap_files(&String::from_utf8_lossy(&fstab)) {
        if !guest.is_file(&path)? {
            continue;
        }
        let size = guest.file_size(&path)?;
        if let Some(header) = header(&guest.read_part(&path, END as i32, 0)?) {
            // The file keeps its inode, and with it owner, mode and flags.
            guest.truncate_size(&path, 0)?;
            emptied.push(File { path, size, header });
        }
    }
    Ok(emptied)
}

/// Makes a swap file as large as before.
pub(super) fn restore(guest: &Guestfs, file: &File) -> Result<()> {
    let File { path, size, header } = file;
    if guest.fallocate(path, *size as i64).is_err() {
        guest.fill(0, (*size).min(FILL_LIMIT) as i32, path)?;
        guest.truncate_size(path, *size as i64)?;
    }
    guest.write_part(path, header, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_mark() {
        let mut start = vec![7; 65536];
        assert_eq!(header(&start), None);
        start[4086..4095].copy_from_slice(SUSPENDED);
        let kept = header(&start).unwrap();
        assert_eq!((kept.len(), &kept[4086..]), (4096, &MARK[..]));
        start[4086..4096].fill(0);
        start[16374..16384].copy_from_slice(MARK);
        assert_eq!(header(&start).unwrap().len(), 16384);
        assert_eq!(header(&start[..100]), None);
    }
}
