//! Writes what is not zero; what is stays a hole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Runs of zeros of this many bytes at such places become holes.
const PAGE: usize = 4096;

/// Writes the pages of `bytes` that are not zero to their place in a new file; returns how many
/// bytes that were.
pub(crate) fn write(file: &File, start: u64, bytes: &[u8]) -> io::Result<u64> {
    let mut written = 0;
    let mut run: Option<usize> = None;
    let mut at = 0;
    while at < bytes.len() {
        // Pages of the file, wherever the bytes begin.
        let page = PAGE - (start as usize + at) % PAGE;
        let end = bytes.len().min(at + page);
        let zero = is_zero(&bytes[at..end]);
        if let (Some(from), true) = (run, zero) {
            file.write_all_at(&bytes[from..at], start + from as u64)?;
            written += (at - from) as u64;
            run = None;
        } else if !zero && run.is_none() {
            run = Some(at);
        }
        at = end;
    }
    if let Some(from) = run {
        file.write_all_at(&bytes[from..], start + from as u64)?;
        written += (bytes.len() - from) as u64;
    }
    Ok(written)
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
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

    #[test]
    fn only_pages_with_data_are_written_and_the_bytes_are_right() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut bytes = vec![0; 100_000];
        bytes[10] = 1;
        bytes[50_000..60_000].fill(7);
        bytes[99_999] = 2;
        let written = write(&file, 1000, &bytes).unwrap();
        assert!((10_000..30_000).contains(&written), "{written}");
        let mut back = vec![1; 100_000];
        file.read_exact_at(&mut back, 1000).unwrap();
        assert!(back == bytes);
        assert!(file.metadata().unwrap().blocks() * 512 < 40_000);
    }
}
