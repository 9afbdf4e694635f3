//! The compressed objects of a journal, as systemd's "Journal File Format" describes them.

use std::io::Read as _;

use super::decode::Form;
use super::frames::Frames;

const DATA: u8 = 1;
const COMPACT: u32 = 1 << 4;
/// Where the payload of a data object begins, and what the compact format adds.
const PAYLOAD: usize = 64;
const COMPACT_MORE: usize = 8;
/// How much the objects of one journal may decode to, in bytes.
const MOST: u64 = 768 << 20;

/// The decoded contents of all compressed objects, a line each, and whether all were read.
pub(super) fn contents(journal: &[u8]) -> (Vec<u8>, bool) {
    let (mut out, mut whole) = (Vec::new(), true);
    let compact = number(journal, 12, 4).is_some_and(|flags| flags as u32 & COMPACT != 0);
    let payload = PAYLOAD + if compact { COMPACT_MORE } else { 0 };
    let mut at = number(journal, 88, 8).unwrap_or(0) as usize;
    while at >= PAYLOAD {
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
            match journal
                .get(at + payload..end)
                .and_then(|data| object(*flags, data, MOST - out.len() as u64))
            {
                Some(text) => {
                    out.extend_from_slice(&text);
                    out.push(b'\n');
                }
                None => whole = false,
            }
        }
        at = end.saturating_add(7) & !7;
    }
    (out, whole)
}

/// The content of an object, if it has no more than `most` bytes.
fn object(flags: u8, data: &[u8], most: u64) -> Option<Vec<u8>> {
    let form = match flags & 7 {
        1 => Form::Xz,
        2 => {
            let size = usize::try_from(number(data, 0, 8)?).ok()?;
            let fits = (size as u64) < most;
            return fits.then(|| lz4_flex::block::decompress(&data[8..], size).ok())?;
        }
        4 => Form::Zstd,
        _ => return None,
    };
    let mut text = Vec::new();
    let mut data = data;
    let frames = Frames::new(form, &mut data, true);
    frames.take(most).read_to_end(&mut text).ok()?;
    ((text.len() as u64) < most).then_some(text)
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

    #[test]
    fn compressed_objects_of_every_kind_are_decoded() {
        let text = b"MESSAGE=the password is hunter2".repeat(30);
        let zstd = zstd::encode_all(text.as_slice(), 1).unwrap();
        let mut lz4 = (text.len() as u64).to_le_bytes().to_vec();
        lz4.extend(lz4_flex::block::compress(&text));
        let mut xz = xz2::write::XzEncoder::new(vec![], 1);
        std::io::Write::write_all(&mut xz, &text).unwrap();
        let xz = xz.finish().unwrap();
        for compact in [false, true] {
            let made = journal(
                &[
                    (0, b"plain".to_vec()),
                    (4, zstd.clone()),
                    (2, lz4.clone()),
                    (1, xz.clone()),
                ],
                compact,
            );
            let (found, whole) = contents(&made);
            let line = [text.as_slice(), b"\n"].concat();
            assert!(whole && found == line.repeat(3), "{compact}");
        }
        let (found, whole) = contents(&journal(&[(4, b"broken".to_vec())], false));
        assert!(found.is_empty() && !whole);
        assert_eq!(contents(b"LPKSHHRH"), (vec![], true));
    }
}
