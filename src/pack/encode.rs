//! One block: bytes in, a complete block of a `.xz` stream out.

use super::container::{self, CHECK_SIZE, HEADER_SIZE, Record};
use super::plan::Settings;
use super::raw::{Chain, Encoder};
use crate::error::{Error, Result};

/// The bundled encoder; another version may choose other bytes.
pub(super) const ENCODER_VERSION: &str = "liblzma-sys 0.4.9";

/// Bytes given to the encoder between two looks at the signal.
const SLICE: usize = 256 << 10;

/// A block, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Header, compressed data, padding, check.
    pub(super) bytes: Vec<u8>,
    /// Its line in the index.
    pub(super) record: Record,
}

/// Encodes `data` by itself; `go_on` ends the work early with an error.
pub(super) fn encode(
    encoder: &mut Encoder,
    data: &[u8],
    settings: &Settings,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Block> {
    let stream = single_stream(encoder, data, settings, go_on)?;
    repackage(&stream, data.len() as u64)
        .ok_or_else(|| Error::internal("liblzma wrote a stream of an unexpected shape"))
}

/// A complete `.xz` of one block, as liblzma writes it: without sizes in the block's header.
fn single_stream(
    encoder: &mut Encoder,
    data: &[u8],
    settings: &Settings,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Vec<u8>> {
    encoder.start(Chain {
        preset: settings.preset,
        dictionary: settings.dictionary as u32,
        nice: (settings.nice > 0).then_some(settings.nice),
        x86: settings.x86 && is_x86(data),
    })?;
    // Pages that are not needed are never touched; growing would copy.
    let mut out = Vec::with_capacity(data.len() + data.len() / 64 + (128 << 10));
    for slice in data.chunks(SLICE) {
        go_on()?;
        encoder.push(slice, false, &mut out)?;
    }
    encoder.push(&[], true, &mut out)?;
    Ok(out)
}

/// Whether calls and jumps of x86 code are a good part of the data: 4 times as many as chance gives.
/// With absolute addresses, equal calls are equal bytes.
fn is_x86(data: &[u8]) -> bool {
    let calls = data
        .windows(5)
        .filter(|bytes| matches!(bytes, [0xe8 | 0xe9, _, _, _, 0x00 | 0xff]))
        .count();
    calls > data.len() / 4096
}

/// Takes the block out of a stream and gives it a header with sizes.
fn repackage(stream: &[u8], uncompressed: u64) -> Option<Block> {
    let footer = stream.len().checked_sub(HEADER_SIZE)?;
    let backward = u32::from_le_bytes(stream.get(footer + 4..footer + 8)?.try_into().ok()?);
    let index = footer.checked_sub((backward as usize + 1) * 4)?;
    // Indicator and count, then one record.
    let mut record = stream.get(index + 2..footer)?;
    let unpadded = container::take_number(&mut record)?;
    if container::take_number(&mut record)? != uncompressed || stream[index..index + 2] != [0, 1] {
        return None;
    }
    let old_header = (usize::from(*stream.get(HEADER_SIZE)?) + 1) * 4;
    let compressed = unpadded.checked_sub(old_header as u64 + CHECK_SIZE)?;
    // The filters' flags as we choose them: x86 has no options, LZMA2 has one byte of them.
    let count = (stream.get(HEADER_SIZE + 1)? & 3) + 1;
    let filters = HEADER_SIZE + 2..HEADER_SIZE + if count == 2 { 7 } else { 5 };

    let mut bytes = container::block_header(compressed, uncompressed, count, stream.get(filters)?);
    let unpadded = bytes.len() as u64 + compressed + CHECK_SIZE;
    bytes.extend(stream.get(HEADER_SIZE + old_header..index)?);
    Some(Block {
        bytes,
        record: Record {
            unpadded,
            uncompressed,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Filter, Profile};

    #[test]
    fn the_version_in_the_fingerprint_is_the_one_that_is_linked() {
        let lock = include_str!("../../Cargo.lock");
        let (name, version) = ENCODER_VERSION.split_once(' ').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
    }

    #[test]
    fn code_is_told_from_other_data() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let code = &program[program.len() / 4..program.len() / 2];
        assert_eq!(is_x86(code), cfg!(target_arch = "x86_64"));
        let text = b"call me when the jump is done ".repeat(10_000);
        assert!(!is_x86(&text) && !is_x86(&[0; 100_000]) && !is_x86(&[]));
        let mut state = 1u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let noise: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
        assert!(!is_x86(&noise));
    }

    #[test]
    fn a_block_can_be_stopped() {
        let settings = Settings::of(Profile::Fast, Filter::None);
        let stop = || Err(Error::stage("stopped"));
        let error = encode(&mut Encoder::new(), &[0; 1000], &settings, &stop).unwrap_err();
        assert_eq!(error.message(), "stopped");
    }
}
