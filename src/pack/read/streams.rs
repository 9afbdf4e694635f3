//! xz in whatever shape others made it: several streams, blocks without sizes, padding.

use std::io::Read;

use xz2::read::XzDecoder;
use xz2::stream::{CONCATENATED, Stream};

use crate::error::{Error, Result};
use crate::units::Size;

/// Decodes `from` as it is read, with at most `memory`: what needs more is refused.
///
/// # Errors
/// When there is no memory for the decoder itself.
pub fn streams<R: Read>(from: R, memory: Size) -> Result<XzDecoder<R>> {
    let stream = Stream::new_stream_decoder(memory.as_bytes(), CONCATENATED);
    let stream = stream.map_err(|cause| Error::host("xz cannot be decoded").cause(cause))?;
    Ok(XzDecoder::new_stream(from, stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn several_streams_are_one_file_and_memory_has_a_bound() {
        let pack = |text: &str| {
            let xz = Program::new("xz").args(["-6", "-c"]).input(text.as_bytes());
            xz.output().unwrap()
        };
        let both = [pack("one "), pack("two")].concat();
        let mut text = String::new();
        let mut decoder = streams(both.as_slice(), Size::mib(16)).unwrap();
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
        let mut decoder = streams(both.as_slice(), Size::mib(4)).unwrap();
        let error = decoder.read_to_string(&mut text).unwrap_err();
        assert!(error.to_string().contains("emory"), "{error}");
    }
}
