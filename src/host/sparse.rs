//! Sparse files: what is zero stays a hole. The one door for what is large and may come from
//! others, which leaves the host room.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, ioctl_ficlone};

use super::{interrupt, space};
use crate::error::{Context as _, Result};
use crate::holes::extent;

/// Runs of zeros of this many bytes at such places become holes.
const PAGE: usize = 4096;

/// Bytes copied at once.
const BLOCK: usize = 1 << 20;

/// Writes the pages of `bytes` that are not zero to their place in a new file, which messages call
/// `path`; returns how many bytes that were.
///
/// # Errors
/// When they cannot be written, or nearly all of the room there was taken.
pub fn write(file: &File, path: &Path, start: u64, bytes: &[u8]) -> Result<u64> {
    let put = |part: &[u8], at: usize| -> Result<u64> {
        space::check_at(file, path)?;
        let written = file.write_all_at(part, start + at as u64);
        written.doing(|| format!("writing {}", path.display()))?;
        Ok(part.len() as u64)
    };
    let mut written = 0;
    let mut run: Option<usize> = None;
    let mut at = 0;
    while at < bytes.len() {
        // Pages of the file, wherever the bytes begin.
        let page = PAGE - (start as usize + at) % PAGE;
        let end = bytes.len().min(at + page);
        let zero = is_zero(&bytes[at..end]);
        if let (Some(from), true) = (run, zero) {
            written += put(&bytes[from..at], from)?;
            run = None;
        } else if !zero && run.is_none() {
            run = Some(at);
        }
        at = end;
    }
    if let Some(from) = run {
        written += put(&bytes[from..], from)?;
    }
    Ok(written)
}

/// Writes what `from` gives to a new file at `path`, of at most `most` bytes; how many they were,
/// none where there are more.
///
/// # Errors
/// As [`write`]; when reading fails, the file is there already, or imgforge is interrupted.
pub fn fill(path: &Path, mut from: impl Read, most: u64) -> Result<Option<u64>> {
    let doing = || format!("writing {}", path.display());
    let file = File::create_new(path).doing(doing)?;
    let (mut at, mut block) = (0u64, Vec::with_capacity(BLOCK));
    loop {
        interrupt::check()?;
        block.clear();
        let read = (&mut from).take(BLOCK as u64).read_to_end(&mut block);
        read.doing(|| "reading compressed data".into())?;
        if block.is_empty() {
            file.set_len(at).doing(doing)?;
            return Ok(Some(at));
        }
        write(&file, path, at, &block)?;
        at += block.len() as u64;
        if at > most {
            return Ok(None);
        }
    }
}

/// Copies a file to a new one, which messages call `path`. Where the file system can, the two share
/// their blocks.
///
/// # Errors
/// As [`write`]; when `from` cannot be read or becomes shorter, or imgforge is interrupted.
pub fn copy(from: &File, to: &File, path: &Path) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    if share(from, to).doing(doing)? {
        return Ok(());
    }
    let size = from.metadata().doing(doing)?.len();
    to.set_len(size).doing(doing)?;
    let (mut at, mut block) = (0, vec![0; BLOCK]);
    while let Some((start, end)) = extent(from, at, size) {
        at = start;
        while at < end {
            interrupt::check()?;
            let some = &mut block[..BLOCK.min((end - at) as usize)];
            from.read_exact_at(some, at).doing(doing)?;
            write(to, path, at, some)?;
            at += some.len() as u64;
        }
    }
    Ok(())
}

/// Makes an empty file share the blocks of another one; whether the file system can. Where it cannot,
/// the file is empty still: one that runs out of space half-way (btrfs) leaves what it has shared so far.
///
/// # Errors
/// When the file cannot be made empty again.
pub fn share(from: &File, to: &File) -> io::Result<bool> {
    match ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(_) => to.set_len(0).map(|()| false),
    }
}

/// Makes `len` bytes of a file, which messages call `path`, a hole, or zeros where it has no holes.
///
/// # Errors
/// When they cannot be written.
pub fn punch(file: &File, path: &Path, start: u64, len: u64) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if fallocate(file, flags, start, len).is_ok() {
        return Ok(());
    }
    let zeros = [0; PAGE];
    for at in (0..len).step_by(PAGE) {
        let some = &zeros[..PAGE.min((len - at) as usize)];
        let written = file.write_all_at(some, start + at);
        written.doing(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<64>();
    let any = |sum: u8, chunk: &[u8; 64]| sum | chunk.iter().fold(0, |sum, byte| sum | byte);
    // In pieces: data is seen at once, and each piece is one run of vector instructions.
    words.chunks(64).all(|piece| piece.iter().fold(0, any) == 0)
        && tail.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn zeros_are_seen_wherever_they_end() {
        assert!(is_zero(&[]) && is_zero(&[0; 4096]) && is_zero(&[0; 5000]));
        for at in [0, 63, 64, 4095, 4096, 4999] {
            let mut bytes = [0; 5000];
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at}");
        }
    }

    /// A file whose blocks could not be shared has none, whatever was shared before that failed.
    #[test]
    fn a_file_that_shares_no_blocks_is_empty() {
        let [from, to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        from.write_all_at(&[1; 5000], 0).unwrap();
        to.write_all_at(&[2; 9000], 0).unwrap();
        let shared = share(&from, &to).unwrap();
        let mut bytes = vec![];
        (&to).read_to_end(&mut bytes).unwrap();
        // What is shared goes up to the end of the other file.
        match shared {
            true => assert!(bytes[..5000] == [1; 5000]),
            false => assert_eq!(bytes.len(), 0),
        }
    }

    #[test]
    fn only_pages_with_data_are_written_and_the_bytes_are_right() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut bytes = vec![0; 100_000];
        bytes[10] = 1;
        bytes[50_000..60_000].fill(7);
        bytes[99_999] = 2;
        let written = write(&file, Path::new("file"), 1000, &bytes).unwrap();
        assert!((10_000..30_000).contains(&written), "{written}");
        let mut back = vec![1; 100_000];
        file.read_exact_at(&mut back, 1000).unwrap();
        assert!(back == bytes);
        assert!(file.metadata().unwrap().blocks() * 512 < 40_000);
    }

    #[test]
    fn zeroes_become_holes_and_an_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let [to, copied] = ["to", "copied"].map(|name| dir.path().join(name));
        let bytes = [vec![0; 3 << 20], vec![7; 100]].concat();
        let size = bytes.len() as u64;
        assert_eq!(fill(&to, &*bytes, size).unwrap(), Some(size));
        let (from, new) = (File::open(&to), File::create_new(&copied));
        copy(&from.unwrap(), &new.unwrap(), &copied).unwrap();
        for file in [to, copied] {
            assert!(std::fs::read(&file).unwrap() == bytes);
            assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
            assert!(fill(&file, &*bytes, size).is_err(), "it is there already");
        }
        let other = dir.path().join("other");
        assert_eq!(fill(&other, &*bytes, size - 1).unwrap(), None);
    }

    /// Of what is no file, the system does not say where its data is.
    #[test]
    fn where_nobody_tells_of_holes_all_is_data() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert_eq!(extent(&File::from(read), 5, 100), Some((5, 100)));
    }
}
