//! The compressed objects of a journal, as systemd's "Journal File Format" describes them.

use std::io::{self, Cursor, Read};

use super::decode::Form;
use super::frames::{self, Frames};

const DATA: u8 = 1;
const COMPACT: u32 = 1 << 4;
/// Where the payload of a data object begins, and what the compact format adds.
const PAYLOAD: usize = 64;
const COMPACT_MORE: usize = 8;
/// How much an object of LZ4 may decode to, in bytes: it has to be held. All others are read in
/// pieces, whatever they decode to.
const MOST_LZ4: usize = 64 << 20;

/// Shows the decoded content of each compressed object to `take`, until all of them have decoded to
/// as much as one file may.
///
/// # Errors
/// When an object was not read to its end: with the first one's reason, when all others were shown.
pub(super) fn each(
    journal: &[u8],
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    each_within(frames::MOST, journal, take)
}

fn each_within(
    most: u64,
    journal: &[u8],
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let (mut left, mut result) = (most, Ok(()));
    let compact = number(journal, 12, 4).is_some_and(|flags| flags as u32 & COMPACT != 0);
    let payload = PAYLOAD + if compact { COMPACT_MORE } else { 0 };
    let mut at = number(journal, 88, 8).unwrap_or(0) as usize;
    while at >= PAYLOAD && left > 0 {
        let (Some(kind), Some(flags), Some(size)) = (
            journal.get(at),
            journal.get(at.saturating_add(1)),
            number(journal, at.saturating_add(8), 8),
        ) else {
            break;
        };
        let size = size as usize;
        if *kind == 0 || size < 16 {
            break;
        }
        let end = at.saturating_add(size);
        if *kind == DATA && flags & 7 != 0 {
            let read = match journal.get(at + payload..end) {
                Some(data) => object(*flags, data, &mut left, take),
                None => Err(io::Error::other("it breaks off")),
            };
            result = result.and(read);
        }
        at = end.saturating_add(7) & !7;
    }
    result.map_err(|cause| io::Error::other(format!("an entry of the journal: {cause}")))
}

/// Shows the content of one object, which takes from what is `left`.
fn object(
    flags: u8,
    mut data: &[u8],
    left: &mut u64,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let form = match flags & 7 {
        1 => Form::Xz,
        2 => return bounded(&mut Cursor::new(lz4(data)?), left, take),
        4 => Form::Zstd,
        _ => return Err(io::Error::other("nobody knows how it is compressed")),
    };
    bounded(&mut Frames::new(form, &mut data, true), left, take)
}

fn bounded(
    text: &mut dyn Read,
    left: &mut u64,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = text.take(*left);
    let result = take(&mut text);
    *left = text.limit();
    match *left {
        0 => Err(io::Error::other("all of them decode to more than 4 GiB")),
        _ => result,
    }
}

/// A block of LZ4 behind its decoded size.
fn lz4(data: &[u8]) -> io::Result<Vec<u8>> {
    let size = number(data, 0, 8).and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| *size <= MOST_LZ4);
    let size = size.ok_or_else(|| io::Error::other("it decodes to more than 64 MiB"))?;
    lz4_flex::block::decompress(&data[8..], size).map_err(io::Error::other)
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(objects: &[(u8, Vec<u8>)], compact: bool) -> Vec<u8> {
        let mut out = vec![0; 272];
        out[..8].copy_from_slice(b"LPKSHHRH");
        out[12] = if compact { 16 } else { 0 };
        out[88..96].copy_from_slice(&272u64.to_le_bytes());
        for (flags, payload) in objects {
            let head = PAYLOAD + if compact { 8 } else { 0 };
            let size = (head + payload.len()) as u64;
            out.extend([DATA, *flags, 0, 0, 0, 0, 0, 0]);
            out.extend(size.to_le_bytes());
            out.resize(out.len() + head - 16, 0);
            out.extend(payload);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        out
    }

    /// What is shown of each object, and whether all were.
    fn shown(most: u64, journal: &[u8]) -> (Vec<Vec<u8>>, io::Result<()>) {
        let mut all = vec![];
        let result = each_within(most, journal, &mut |text| {
            let mut bytes = vec![];
            let read = text.read_to_end(&mut bytes);
            all.push(bytes);
            read.map(drop)
        });
        (all, result)
    }

    #[test]
    fn compressed_objects_of_every_kind_are_decoded() {
        let text = b"MESSAGE=the password is hunter2".repeat(30);
        let zstd = zstd::encode_all(text.as_slice(), 1).unwrap();
        let mut lz4 = (text.len() as u64).to_le_bytes().to_vec();
        lz4.extend(lz4_flex::block::compress(&text));
        let mut xz = xz2::write::XzEncoder::new(vec![], 1);
        std::io::Write::write_all(&mut xz, &text).unwrap();
        let xz = xz.finish().unwrap();
        let all = [
            (0, b"plain".to_vec()),
            (4, zstd.clone()),
            (2, lz4.clone()),
            (1, xz.clone()),
        ];
        for compact in [false, true] {
            let (found, result) = shown(1 << 20, &journal(&all, compact));
            result.unwrap();
            assert_eq!(found, [text.as_slice(); 3], "{compact}");
        }
        // What is behind a damaged one is shown, too.
        let damaged = [(4, b"broken".to_vec()), (4, zstd)];
        let (found, result) = shown(1 << 20, &journal(&damaged, false));
        assert!(found.contains(&text), "{found:?}");
        let why = result.unwrap_err().to_string();
        assert!(why.starts_with("an entry of the journal: "), "{why}");
        assert!(matches!(shown(1, b"LPKSHHRH"), (none, Ok(())) if none.is_empty()));
    }

    #[test]
    fn what_objects_decode_to_is_bounded_and_held_by_nobody() {
        let zeroes = zstd::encode_all(io::repeat(0).take(64 << 20), 1).unwrap();
        let many = journal(&vec![(4, zeroes); 3], false);
        let (mut whole, mut longest) = (0, 0);
        let mut read = |most| {
            each_within(most, &many, &mut |text| {
                let mut buffer = [0; 4096];
                while let count @ 1.. = text.read(&mut buffer)? {
                    longest = longest.max(count);
                    whole += count as u64;
                }
                Ok(())
            })
        };
        read(frames::MOST).unwrap();
        let why = read(100 << 20).unwrap_err().to_string();
        assert!(why.ends_with("decode to more than 4 GiB"), "{why}");
        assert_eq!((whole, longest), (292 << 20, 4096));
        // Only a number, of which memory is made.
        let lies = (768u64 << 20).to_le_bytes().to_vec();
        let (found, result) = shown(frames::MOST, &journal(&[(2, lies)], false));
        assert!(found.is_empty(), "{found:?}");
        let why = result.unwrap_err().to_string();
        assert!(why.ends_with("decodes to more than 64 MiB"), "{why}");
    }
}
