//! Compressed contents, known by their first bytes and never by their name.

use std::io::{self, Read};

use crate::host::interrupt;

/// How much one file may decode to, in bytes: more is a trap, or no image of ours.
const MOST: u64 = 4 << 30;

/// What a decoder of xz may take, in bytes: `xz -9` needs 65 MiB, larger dictionaries are asked for.
const OUTER: u64 = 1 << 30;
const INNER: u64 = 128 << 20;

/// How a content is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// gzip, of any number of members.
    Gzip,
    /// xz.
    Xz,
    /// The older format of xz' authors.
    Lzma,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// LZ4's frames.
    Lz4,
    /// An archive for the kernel, which compressed ones may follow.
    Cpio,
    /// An archive of tar.
    Tar,
    /// A zip archive, as jar and docx files are.
    Zip,
    /// A package of Debian: an archive of ar.
    Deb,
    /// A package of rpm.
    Rpm,
    /// A squashfs, as snaps are.
    Squashfs,
    /// A journal of systemd.
    Journal,
}

/// How many first bytes [`form`] and [`closed`] look at.
pub(super) const HEAD: usize = 512;

/// What the first bytes say about the content.
pub(super) fn form(head: &[u8]) -> Option<Form> {
    Some(match head {
        [0x1f, 0x8b, 8, ..] => Form::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Xz,
        [0x5d, 0, 0, _, _, 0xff, 0xff, 0xff, 0xff, ..] => Form::Lzma,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', ..] => Form::Bzip2,
        [4, 0x22, 0x4d, 0x18, ..] => Form::Lz4,
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Form::Cpio,
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => Form::Journal,
        [b'P', b'K', 3, 4, ..] => Form::Zip,
        [0xed, 0xab, 0xee, 0xdb, ..] => Form::Rpm,
        [b'h', b's', b'q', b's', ..] => Form::Squashfs,
        _ if head.starts_with(b"!<arch>\ndebian-binary") => Form::Deb,
        _ if head.get(257..262) == Some(b"ustar") => Form::Tar,
        _ => return None,
    })
}

/// A container whose content the scan cannot see.
pub(super) fn closed(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 10] = [
        (b"7z\xbc\xaf", "a 7z archive, which is compressed"),
        (b"QFI\xfb", "a qcow2 disk, which may be compressed"),
        (b"KDMV", "a VMDK disk, which may be compressed"),
        (b"Rar!", "a rar archive, which is compressed"),
        (b"MSCF", "a cabinet, which is compressed"),
        (b"\x02\x21\x4c\x18", "compressed by an old LZ4"),
        (b"\x89LZO\0\r\n\x1a\n", "compressed by lzop"),
        (b"LZIP\x01", "compressed by lzip"),
        (b"Salted__", "encrypted by openssl"),
        (b"LUKS\xba\xbe", "encrypted by LUKS"),
    ];
    let found = known.iter().find(|(magic, _)| head.starts_with(magic));
    found.map(|(_, what)| *what).or(match head {
        // Two bytes would be in many files; the third says how many bits a code has.
        [0x1f, 0x9d, bits, ..] if bits & 0x60 == 0 && (9..=16).contains(&(bits & 0x1f)) => {
            Some("compressed by compress(1)")
        }
        _ => None,
    })
}

/// The decoded content; an end is put to what decodes to more than anything should. What is `inner`,
/// packed in something else, may take less memory: there can be several at once.
///
/// # Errors
/// When the decoder cannot be made.
pub(super) fn decoder<'r>(
    form: Form,
    content: impl Read + 'r,
    inner: bool,
) -> io::Result<Box<dyn Read + 'r>> {
    let memory = if inner { INNER } else { OUTER };
    Ok(match form {
        Form::Gzip => Box::new(Bounded::new(flate2::read::MultiGzDecoder::new(content))),
        Form::Bzip2 => Box::new(Bounded::new(bzip2::read::MultiBzDecoder::new(content))),
        Form::Zstd => Box::new(Bounded::new(zstd::stream::read::Decoder::new(content)?)),
        Form::Lz4 => Box::new(Bounded::new(lz4_flex::frame::FrameDecoder::new(content))),
        Form::Xz => {
            let stream = xz2::stream::Stream::new_stream_decoder(memory, xz2::stream::CONCATENATED);
            Box::new(Bounded::new(xz2::read::XzDecoder::new_stream(
                content, stream?,
            )))
        }
        Form::Lzma => {
            let stream = xz2::stream::Stream::new_lzma_decoder(memory);
            Box::new(Bounded::new(xz2::read::XzDecoder::new_stream(
                content, stream?,
            )))
        }
        _ => Box::new(content),
    })
}

/// A stream with an end.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R) -> Self {
        Bounded { inner, left: MOST }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::raised() {
            return Err(io::Error::other("interrupted"));
        }
        if self.left == 0 {
            return Err(io::Error::other("it decodes to more than 4 GiB"));
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Where something compressed begins behind the archives for the kernel.
pub(super) fn behind_cpio(content: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = memchr::memmem::find(&content[at..], b"TRAILER!!!")?;
        at += end + b"TRAILER!!!".len();
        at += content[at..].iter().position(|byte| *byte != 0)?;
        match form(&content[at..]) {
            Some(Form::Cpio) => {}
            Some(_) => return Some(at),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let form = form(bytes).unwrap();
        decoder(form, bytes, true)
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
        out
    }

    #[test]
    fn every_form_is_known_and_decoded() {
        let text = b"what is in it".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(decoded(&gzip), text);
        assert_eq!(decoded(&[gzip.clone(), gzip].concat()), text.repeat(2));
        let mut bzip = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
        bzip.write_all(&text).unwrap();
        assert_eq!(decoded(&bzip.finish().unwrap()), text);
        assert_eq!(
            decoded(&zstd::encode_all(text.as_slice(), 1).unwrap()),
            text
        );
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(vec![]);
        lz4.write_all(&text).unwrap();
        assert_eq!(decoded(&lz4.finish().unwrap()), text);
        let mut xz = xz2::write::XzEncoder::new(vec![], 1);
        xz.write_all(&text).unwrap();
        assert_eq!(decoded(&xz.finish().unwrap()), text);
        assert_eq!(form(b"plain text of any kind"), None);
    }

    #[test]
    fn an_initrd_is_entered_behind_its_first_archives() {
        let cpio = |name: &str| format!("070701{name}TRAILER!!!\0\0\0\0").into_bytes();
        let zstd = zstd::encode_all(&b"inside"[..], 1).unwrap();
        let both = [cpio("microcode"), cpio("more"), zstd.clone()].concat();
        let at = behind_cpio(&both).unwrap();
        assert_eq!(both[at..], zstd);
        assert_eq!(behind_cpio(&cpio("only")), None);
    }
}
