//! Where a file has data. What is a hole is not read: the kernel would first make pages of it, which takes
//! longer than most digests.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, fstatfs, seek};
use rustix::io::Errno;

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// File systems that have told of holes where data was not written yet: ZFS (openzfs/zfs#15526) and what
/// FUSE stands before. As in statfs(2).
const UNSURE: [u64; 2] = [0x2fc1_2fc1, 0x6573_5546];

/// What stands for a hole.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The next data at or after `from` in a file of `size` bytes; where the file system does not say,
/// all is data, as on those that are not to be believed. Moves the file's position.
pub fn extent(file: &File, from: u64, size: u64) -> Option<(u64, u64)> {
    if from >= size {
        return None;
    }
    let unsure = |about: rustix::fs::StatFs| UNSURE.contains(&(about.f_type as u64));
    if !fstatfs(file).is_ok_and(|about| !unsure(about)) {
        return Some((from, size));
    }
    let start = match seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        Err(_) => return Some((from, size)),
    };
    // A hole that was just punched at the start is read as data.
    let hole = |end: &u64| *end > start;
    let end = seek(file, SeekFrom::Hole(start)).ok().filter(hole);
    (start < size).then(|| (start, end.unwrap_or(size).min(size)))
}

/// Gives `take` the bytes of a part of a file, in order. Moves the file's position.
///
/// # Errors
/// When the part cannot be read, or the file ends within.
pub fn read(file: &File, part: Range<u64>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![];
    let mut at = part.start;
    while at < part.end {
        let (start, end) = extent(file, at, part.end).unwrap_or((part.end, part.end));
        while at < start {
            let some = &ZEROS[..(start - at).min(ZEROS.len() as u64) as usize];
            take(some);
            at += some.len() as u64;
        }
        while at < end {
            buffer.resize((end - at).min(PIECE as u64) as usize, 0);
            file.read_exact_at(&mut buffer, at)?;
            take(&buffer);
            at += buffer.len() as u64;
        }
    }
    // What lies behind its end looks like a hole.
    match file.metadata()?.len() < part.end {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_with_and_without_holes_is_read_as_it_is() {
        let file = tempfile::tempfile().unwrap();
        let size = 5 * PIECE as u64 + 7;
        file.set_len(size).unwrap();
        file.write_all_at(b"first", 3).unwrap();
        file.write_all_at(b"second", 3 * PIECE as u64 - 3).unwrap();
        file.write_all_at(b"last", size - 4).unwrap();
        for (start, end) in [(0, size), (4, size - 1), (100_000, 200_000), (size, size)] {
            let mut expected = vec![0; (end - start) as usize];
            file.read_exact_at(&mut expected, start).unwrap();
            let mut found = vec![];
            read(&file, start..end, |bytes| found.extend_from_slice(bytes)).unwrap();
            assert!(found == expected, "{start}..{end}");
        }
        let error = read(&file, size - 1..size + 1, |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
