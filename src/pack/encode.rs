//! One block: bytes in, a complete block of a `.xz` stream out.

use xz2::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use super::container::{self, CHECK_SIZE, HEADER_SIZE, Record};
use super::plan::Settings;
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
    data: &[u8],
    settings: &Settings,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Block> {
    let stream = single_stream(data, settings, go_on)?;
    repackage(&stream, data.len() as u64)
        .ok_or_else(|| Error::internal("liblzma wrote a stream of an unexpected shape"))
}

/// A complete `.xz` of one block, as liblzma writes it: without sizes in the block's header.
fn single_stream(
    data: &[u8],
    settings: &Settings,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Vec<u8>> {
    let failed = |cause| Error::stage("the xz encoder failed").cause(cause);
    let mut options = LzmaOptions::new_preset(settings.preset).map_err(failed)?;
    options.dict_size(settings.block as u32);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut stream = Stream::new_stream_encoder(&filters, Check::Crc64).map_err(failed)?;

    let mut out = Vec::with_capacity(data.len() / 2 + 4096);
    let mut given = 0;
    loop {
        go_on()?;
        let slice = &data[given..data.len().min(given + SLICE)];
        let action = if given + slice.len() == data.len() {
            Action::Finish
        } else {
            Action::Run
        };
        out.reserve(64 << 10);
        let status = stream
            .process_vec(slice, &mut out, action)
            .map_err(failed)?;
        given = stream.total_in() as usize;
        if status == Status::StreamEnd {
            return Ok(out);
        }
    }
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
    let filter = stream.get(HEADER_SIZE + 2..HEADER_SIZE + 5)?;

    let mut bytes = container::block_header(compressed, uncompressed, filter);
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
    use crate::recipe::types::Profile;

    #[test]
    fn the_version_in_the_fingerprint_is_the_one_that_is_linked() {
        let lock = include_str!("../../Cargo.lock");
        let (name, version) = ENCODER_VERSION.split_once(' ').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")));
    }

    #[test]
    fn a_block_can_be_stopped() {
        let settings = Settings::of(Profile::Fast);
        let stop = || Err(Error::stage("stopped"));
        let error = encode(&[0; 1000], &settings, &stop).unwrap_err();
        assert_eq!(error.message(), "stopped");
    }
}
