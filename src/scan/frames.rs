//! What is compressed in frames, to the end of the last: compressors put one behind the other, frames
//! to be skipped between them, and whatever follows is the caller's.

use std::io::{self, BufRead, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};
use xz2::stream::Stream;

use super::decode::{self, Form};
use crate::host::interrupt;

/// How much one file may decode to, in bytes: more is a trap, or no image of ours.
pub(super) const MOST: u64 = 4 << 30;

/// How much the frames to be skipped may have in all, in bytes.
const ASIDE: usize = 16 << 20;

/// What a decoder of xz may take, in bytes: `xz -9` needs 65 MiB, larger dictionaries are asked for.
const OUTER: u64 = 1 << 30;
const INNER: u64 = 128 << 20;

/// How much is read of a source at once, in bytes.
const CHUNK: usize = 64 << 10;

/// A source whose next bytes can be looked at.
pub(super) struct Source<'r> {
    inner: &'r mut dyn Read,
    held: Vec<u8>,
    at: usize,
}

impl Source<'_> {
    /// The next bytes: `least`, or all that are left.
    pub(super) fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        let there = self.held.len() - self.at;
        if there < least {
            self.held.drain(..self.at);
            self.at = 0;
            let more = least.max(CHUNK) - there;
            let inner = &mut *self.inner;
            inner.take(more as u64).read_to_end(&mut self.held)?;
        }
        Ok(&self.held[self.at..])
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// One frame; it ends where its format says so.
enum Frame<'r> {
    Gzip(GzDecoder<Source<'r>>),
    Zlib(ZlibDecoder<Source<'r>>),
    Bzip2(bzip2::bufread::BzDecoder<Source<'r>>),
    Zstd(zstd::stream::read::Decoder<'static, Source<'r>>),
    Lz4(lz4_flex::frame::FrameDecoder<Source<'r>>),
    Xz(xz2::bufread::XzDecoder<Source<'r>>),
}

impl<'r> Frame<'r> {
    fn new(form: Form, from: Source<'r>, memory: u64) -> io::Result<Self> {
        let xz = |stream: Result<Stream, xz2::stream::Error>, from| {
            let decoder = xz2::bufread::XzDecoder::new_stream(from, stream?);
            io::Result::Ok(Frame::Xz(decoder))
        };
        Ok(match form {
            Form::Gzip => Frame::Gzip(GzDecoder::new(from)),
            Form::Zlib => Frame::Zlib(ZlibDecoder::new(from)),
            Form::Bzip2 => Frame::Bzip2(bzip2::bufread::BzDecoder::new(from)),
            Form::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                Frame::Zstd(decoder.single_frame())
            }
            Form::Lz4 => Frame::Lz4(lz4_flex::frame::FrameDecoder::new(from)),
            Form::Xz => xz(Stream::new_stream_decoder(memory, 0), from)?,
            Form::Lzma => xz(Stream::new_lzma_decoder(memory), from)?,
            _ => return Err(io::Error::other("it is no compressed content")),
        })
    }

    /// What follows it.
    fn source(self) -> Source<'r> {
        match self {
            Frame::Gzip(decoder) => decoder.into_inner(),
            Frame::Zlib(decoder) => decoder.into_inner(),
            Frame::Bzip2(decoder) => decoder.into_inner(),
            Frame::Zstd(decoder) => decoder.finish(),
            Frame::Lz4(decoder) => decoder.into_inner(),
            Frame::Xz(decoder) => decoder.into_inner(),
        }
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Frame::Gzip(decoder) => decoder.read(buffer),
            Frame::Zlib(decoder) => decoder.read(buffer),
            Frame::Bzip2(decoder) => decoder.read(buffer),
            Frame::Zstd(decoder) => decoder.read(buffer),
            Frame::Lz4(decoder) => decoder.read(buffer),
            Frame::Xz(decoder) => decoder.read(buffer),
        }
    }
}

/// The decoded content of all frames of one form; an end is put to what decodes to more than
/// anything should.
pub(super) struct Frames<'r> {
    form: Form,
    begun: bool,
    /// Between frames.
    source: Option<Source<'r>>,
    /// Within one.
    frame: Option<Frame<'r>>,
    left: u64,
    memory: u64,
    aside: Vec<u8>,
}

impl<'r> Frames<'r> {
    /// Of a content that [`decode::form`] calls compressed. What is `packed` in something else may
    /// take less memory: there can be several at once.
    pub(super) fn new(form: Form, content: &'r mut dyn Read, packed: bool) -> Self {
        let source = Source {
            inner: content,
            held: vec![],
            at: 0,
        };
        Frames {
            form,
            begun: form == Form::Skippable,
            source: Some(source),
            frame: None,
            left: MOST,
            memory: if packed { INNER } else { OUTER },
            aside: vec![],
        }
    }

    /// What was read to its end leaves: the content of the frames to be skipped, and what is behind
    /// the last frame, if anything is.
    pub(super) fn rest(self) -> io::Result<(Vec<u8>, Option<Source<'r>>)> {
        let mut source = self.source;
        let more = match &mut source {
            Some(source) => !source.peek(1)?.is_empty(),
            None => false,
        };
        Ok((self.aside, source.filter(|_| more)))
    }

    /// Begins the next frame, if one follows.
    fn next(&mut self) -> io::Result<bool> {
        let Some(mut source) = self.source.take() else {
            return Ok(false);
        };
        if !std::mem::replace(&mut self.begun, true) {
            self.frame = Some(Frame::new(self.form, source, self.memory)?);
            return Ok(true);
        }
        loop {
            let head = source.peek(decode::HEAD)?;
            // Files are filled up with zeroes to whole blocks.
            let zeroes = head.iter().take_while(|byte| **byte == 0).count();
            match decode::form(head) {
                Some(Form::Skippable) => self.skip(&mut source)?,
                Some(form) if self.goes_on_with(form) => {
                    self.form = form;
                    self.frame = Some(Frame::new(form, source, self.memory)?);
                    return Ok(true);
                }
                _ if zeroes > 0 => source.consume(zeroes),
                _ => {
                    self.source = Some(source);
                    return Ok(false);
                }
            }
        }
    }

    /// Zstandard's and LZ4's frames to be skipped are the same.
    fn goes_on_with(&self, form: Form) -> bool {
        let skipped = self.form == Form::Skippable;
        form == self.form || (skipped && matches!(form, Form::Zstd | Form::Lz4))
    }

    fn skip(&mut self, source: &mut Source<'_>) -> io::Result<()> {
        let mut header = [0; 8];
        source.read_exact(&mut header)?;
        let [_, _, _, _, size @ ..] = header;
        let size = u32::from_le_bytes(size) as usize;
        if self.aside.len() + size > ASIDE {
            return Err(io::Error::other("a frame to be skipped is too large"));
        }
        source.take(size as u64).read_to_end(&mut self.aside)?;
        Ok(())
    }
}

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if interrupt::raised() {
            return Err(io::Error::other("interrupted"));
        }
        if self.left == 0 {
            return Err(io::Error::other("it decodes to more than 4 GiB"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(&mut buffer[..most])?;
                if read > 0 {
                    self.left -= read as u64;
                    return Ok(read);
                }
                self.source = self.frame.take().map(Frame::source);
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// What is compressed, and how each form compresses it.
    type Compress = fn(&[u8]) -> Vec<u8>;

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut to = lz4_flex::frame::FrameEncoder::new(vec![]);
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn lzma(preset: u32, bytes: &[u8]) -> Vec<u8> {
        let mut options = xz2::stream::LzmaOptions::new_preset(preset).unwrap();
        if preset == 0 {
            // The first byte is 6c.
            options.position_bits(2).literal_context_bits(0);
            options.literal_position_bits(2);
        }
        let stream = Stream::new_lzma_encoder(&options).unwrap();
        let mut to = xz2::write::XzEncoder::new_stream(vec![], stream);
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
        let level = flate2::Compression::new(level);
        let mut to = flate2::write::ZlibEncoder::new(vec![], level);
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    const FORMS: [(Form, Compress); 9] = [
        (Form::Gzip, |bytes| {
            let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }),
        (Form::Zlib, |bytes| zlib(bytes, 1)),
        (Form::Zlib, |bytes| zlib(bytes, 9)),
        (Form::Bzip2, |bytes| {
            let mut to = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }),
        (Form::Zstd, |bytes| zstd::encode_all(bytes, 1).unwrap()),
        (Form::Lz4, lz4),
        (Form::Xz, |bytes| {
            let mut to = xz2::write::XzEncoder::new(vec![], 1);
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }),
        (Form::Lzma, |bytes| lzma(6, bytes)),
        (Form::Lzma, |bytes| lzma(0, bytes)),
    ];

    /// What is decoded, what was skipped, and what follows.
    fn decoded(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let mut from = bytes;
        let mut frames = Frames::new(decode::form(bytes).unwrap(), &mut from, true);
        let (mut out, mut behind) = (vec![], vec![]);
        frames.read_to_end(&mut out).unwrap();
        let (aside, rest) = frames.rest().unwrap();
        if let Some(mut rest) = rest {
            rest.read_to_end(&mut behind).unwrap();
        }
        (out, aside, behind)
    }

    #[test]
    fn every_form_is_decoded_to_the_end_of_its_last_frame() {
        for (form, compress) in FORMS {
            for size in [100, 1 << 20] {
                let text: Vec<u8> = (0..size / 4u32)
                    .flat_map(|n| n.wrapping_mul(n).to_be_bytes())
                    .collect();
                let one = compress(&text);
                assert_eq!(decode::form(&one), Some(form));
                let (out, _, behind) = decoded(&one);
                assert!(out == text && behind.is_empty(), "{form:?}");
                let padded = [&one[..], &[0; 512], &one, &one].concat();
                let (out, _, behind) = decoded(&padded);
                assert!(out == text.repeat(3) && behind.is_empty(), "{form:?}");
                let trailed = [&one[..], &one, b"and a text"].concat();
                let (out, _, behind) = decoded(&trailed);
                assert!(out == text.repeat(2), "{form:?}");
                assert_eq!(behind, b"and a text", "{form:?}");
                let mut cut = &one[..one.len() / 2];
                let mut frames = Frames::new(form, &mut cut, true);
                let end = frames.read_to_end(&mut vec![]);
                // LZ4's decoder takes the end of a file for the end of a frame.
                assert!(end.is_err() || form == Form::Lz4, "{form:?}");
            }
        }
    }

    #[test]
    fn frames_to_be_skipped_are_and_kept() {
        let skipped = |text: &[u8]| {
            [
                b"\x5f\x2a\x4d\x18",
                &(text.len() as u32).to_le_bytes()[..],
                text,
            ]
            .concat()
        };
        for compress in [FORMS[4].1, FORMS[5].1] {
            let one = compress(b"inside");
            let all = [&skipped(b"before ")[..], &one, &skipped(b"between"), &one].concat();
            let expected = [&b"insideinside"[..], b"before between", b""];
            let (out, aside, behind) = decoded(&all);
            assert_eq!([&out[..], &aside, &behind], expected);
        }
        assert_eq!(decoded(&[&skipped(b"")[..], b"text"].concat()).2, b"text");
    }
}
