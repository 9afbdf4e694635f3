//! The parts of a `.xz` file around its blocks: stream header, index, footer.
//!
//! As the xz file format 1.2.1 defines them: one stream, check CRC64, all numbers little-endian.

/// Stream flags of a stream with CRC64: part of the header and of the footer.
pub(super) const CRC64: [u8; 2] = [0x00, 0x04];

/// Bytes of the CRC64 at the end of a block.
pub(super) const CHECK_SIZE: u64 = 8;

/// Bytes of the stream header, and of the footer.
pub(super) const HEADER_SIZE: usize = 12;

/// What the index says of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Header, compressed data and check, without the padding before the check.
    pub(super) unpadded: u64,
    /// Bytes that the block decodes to.
    pub(super) uncompressed: u64,
}

/// The first 6 bytes of every `.xz` file.
pub(super) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0x00];

/// The last 2 bytes of every `.xz` file.
pub(super) const END_MAGIC: [u8; 2] = *b"YZ";

/// The first 12 bytes of the file.
pub(super) fn stream_header(flags: [u8; 2]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(flags);
    out.extend(crc32fast::hash(&flags).to_le_bytes());
    out
}

/// Index and footer: the end of the file.
pub(super) fn end(flags: [u8; 2], records: &[Record]) -> Vec<u8> {
    let mut out = vec![0x00];
    number(&mut out, records.len() as u64);
    for record in records {
        number(&mut out, record.unpadded);
        number(&mut out, record.uncompressed);
    }
    pad(&mut out);
    let crc = crc32fast::hash(&out);
    out.extend(crc.to_le_bytes());

    let mut fields = Vec::with_capacity(6);
    fields.extend((out.len() as u32 / 4 - 1).to_le_bytes());
    fields.extend(flags);
    out.extend(crc32fast::hash(&fields).to_le_bytes());
    out.extend(fields);
    out.extend(END_MAGIC);
    out
}

/// A block header with both sizes, which parallel decoders need, and `count` filters given as
/// their encoded flags.
pub(super) fn block_header(
    compressed: u64,
    uncompressed: u64,
    count: u8,
    filters: &[u8],
) -> Vec<u8> {
    let mut out = vec![0x00, 0xc0 | (count - 1)];
    number(&mut out, compressed);
    number(&mut out, uncompressed);
    out.extend(filters);
    pad(&mut out);
    // The size counts the CRC32 too, in units of 4 bytes, less one.
    out[0] = (out.len() / 4) as u8;
    let crc = crc32fast::hash(&out);
    out.extend(crc.to_le_bytes());
    out
}

/// Fills up to a multiple of 4 bytes.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A number of variable length: 7 bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number of variable length off the front of `bytes`.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for position in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for value in [0, 1, 127, 128, 16384, 16 << 20, u64::MAX >> 1] {
            let mut bytes = vec![];
            number(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!((take_number(&mut rest), rest), (Some(value), &[][..]));
        }
        assert_eq!(take_number(&mut [0x80, 0x80].as_slice()), None);
        assert_eq!(take_number(&mut [0xff; 12].as_slice()), None);
    }

    #[test]
    fn an_empty_stream_is_the_32_bytes_that_xz_writes() {
        let file = [stream_header(CRC64), end(CRC64, &[])].concat();
        assert_eq!(
            hex::encode(file),
            "fd377a585a000004e6d6b446000000001cdf44211fb6f37d010000000004595a"
        );
    }
}
