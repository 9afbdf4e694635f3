//! Compressed contents, known by their first bytes and never by their name.

use super::cpio;
use crate::host::imagefile::{self, ImageFile};

/// How a content is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// gzip, of any number of members.
    Gzip,
    Xz,
    /// The older format of xz' authors.
    Lzma,
    /// zlib, as git's objects are.
    Zlib,
    /// Zstandard.
    Zstd,
    Bzip2,
    /// LZ4's frames.
    Lz4,
    /// A frame that decoders of Zstandard and LZ4 skip.
    Skippable,
    /// An archive for the kernel, which compressed ones may follow.
    Cpio,
    /// An archive of cpio that is not for the kernel.
    OldCpio,
    /// An archive of tar.
    Tar,
    /// A zip archive, as jar and docx files are.
    Zip,
    /// An archive of ar, as packages of Debian and libraries are.
    Ar,
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
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Skippable,
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Form::Cpio,
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => Form::Journal,
        [b'P', b'K', 3, 4, ..] => Form::Zip,
        [0xed, 0xab, 0xee, 0xdb, ..] => Form::Rpm,
        [b'h', b's', b'q', b's', ..] => Form::Squashfs,
        _ if head.starts_with(b"!<arch>\n") => Form::Ar,
        _ if imagefile::is_tar(head) => Form::Tar,
        _ if cpio::is_old(head) => Form::OldCpio,
        _ if is_zlib(head) => Form::Zlib,
        _ if is_lzma(head) => Form::Lzma,
        _ => return None,
    })
}

/// How many first bytes [`is_iso`] looks at.
pub(super) const START: u64 = ISO.0 as u64 + 5;

/// Where the first descriptor of an ISO image has which word: the sixteen sectors before are any
/// boot loader's.
const ISO: (usize, &[u8]) = (16 * 2048 + 1, b"CD001");

/// Whether an ISO image begins so.
pub(super) fn is_iso(start: &[u8]) -> bool {
    start.get(ISO.0..) == Some(ISO.1)
}

/// A container whose content the scan cannot see.
pub(super) fn closed(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 17] = [
        (b"7z\xbc\xaf", "a 7z archive, which is compressed"),
        (b"QFI\xfb", "a qcow2 disk, which may be compressed"),
        (b"KDMV", "a VMDK disk, which may be compressed"),
        (b"COWD", "a VMDK disk, whose files are not looked into"),
        (b"QED\0", "a QED disk, whose files are not looked into"),
        (b"conectix", "a VHD disk, whose files are not looked into"),
        (b"vhdxfile", "a VHDX disk, whose files are not looked into"),
        (
            b"WithoutFreeSpace",
            "a Parallels disk, whose files are not looked into",
        ),
        (
            b"WithouFreSpacExt",
            "a Parallels disk, whose files are not looked into",
        ),
        (b"Rar!", "a rar archive, which is compressed"),
        (b"MSCF", "a cabinet, which is compressed"),
        (b"\x02\x21\x4c\x18", "compressed by an old LZ4"),
        (b"\x89LZO\0\r\n\x1a\n", "compressed by lzop"),
        (b"LZIP\x01", "compressed by lzip"),
        (b"07070X", "an archive whose members' sizes only rpm knows"),
        (b"Salted__", "encrypted by openssl"),
        (b"LUKS\xba\xbe", "encrypted by LUKS"),
    ];
    let found = known.iter().find(|(magic, _)| head.starts_with(magic));
    found.map(|(_, what)| *what).or(match head {
        _ if ImageFile::by_head(head) == ImageFile::Vdi => {
            Some("a VDI disk, whose files are not looked into")
        }
        // Two bytes would be in many files; the third says how many bits a code has.
        [0x1f, 0x9d, bits, ..] if bits & 0x60 == 0 && (9..=16).contains(&(bits & 0x1f)) => {
            Some("compressed by compress(1)")
        }
        _ => None,
    })
}

/// Whether a stream of zlib begins here. It has no magic, but two bytes that many files have: that
/// its first bytes can be decoded tells.
fn is_zlib(head: &[u8]) -> bool {
    let &[method, flags, ..] = head else {
        return false;
    };
    let sum = u16::from_be_bytes([method, flags]);
    // Deflate with a window that there is, and no dictionary that is elsewhere.
    if method & 0x0f != 8 || method >> 4 > 7 || sum % 31 != 0 || flags & 0x20 != 0 {
        return false;
    }
    let (mut decoder, mut out) = (flate2::Decompress::new(true), [0; 4096]);
    decodes(head, |input| {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let none = flate2::FlushDecompress::None;
        let status = decoder.decompress(input, &mut out, none).ok()?;
        let (read, written) = (decoder.total_in() - read, decoder.total_out() - written);
        Some((read, written, status == flate2::Status::StreamEnd))
    })
}

/// Whether a content of LZMA's older format begins here, by the parameters that xz(1) takes: it has
/// no magic either.
fn is_lzma(head: &[u8]) -> bool {
    let (Some(header), Some(&0)) = (head.get(..13), head.get(13)) else {
        return false;
    };
    let (context, position) = (header[0] % 9, header[0] / 9 % 5);
    let dictionary = u32::from_le_bytes(header[1..5].try_into().expect("four bytes"));
    let size = u64::from_le_bytes(header[5..].try_into().expect("eight bytes"));
    let round = dictionary >> dictionary.trailing_zeros().min(31);
    if header[0] >= 225
        || context + position > 4
        || dictionary < 4096
        || !matches!(round, 1 | 3)
        || (size != u64::MAX && size >= 1 << 38)
    {
        return false;
    }
    let Ok(mut decoder) = xz2::stream::Stream::new_lzma_decoder(1 << 30) else {
        return false;
    };
    let mut out = [0; 4096];
    decodes(head, |input| {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let status = decoder.process(input, &mut out, xz2::stream::Action::Run);
        let (read, written) = (decoder.total_in() - read, decoder.total_out() - written);
        Some((
            read,
            written,
            status.ok()? == xz2::stream::Status::StreamEnd,
        ))
    })
}

/// Whether all of `head` can be decoded, and to something, by `step`: what it read and wrote, and
/// whether that was the end.
fn decodes(mut head: &[u8], mut step: impl FnMut(&[u8]) -> Option<(u64, u64, bool)>) -> bool {
    let mut any = false;
    loop {
        let Some((read, written, end)) = step(head) else {
            return false;
        };
        any |= written > 0;
        head = &head[read as usize..];
        if end || (read == 0 && written == 0) {
            return any && (end || head.is_empty());
        }
    }
}

/// Whether something with this beginning is more than its plain bytes.
pub(super) fn is_packed(content: &[u8]) -> bool {
    let head = &content[..content.len().min(HEAD)];
    form(head).is_some() || closed(head).is_some()
}

/// Two bytes by which the kernel takes what is in an initrd for compressed.
const OF_KERNEL: [[u8; 2]; 9] = [
    [0x1f, 0x8b],
    [0x1f, 0x9e],
    [b'B', b'Z'],
    [0x5d, 0],
    [0xfd, b'7'],
    [0x89, b'L'],
    [2, 0x21],
    [4, 0x22],
    [0x28, 0xb5],
];

/// Whether the kernel takes it for compressed behind an archive, whatever [`form`] knows.
pub(super) fn is_for_kernel(head: &[u8]) -> bool {
    OF_KERNEL.iter().any(|magic| head.starts_with(magic))
}

/// Where something begins behind the archives for the kernel that is no plain content: it is of a
/// [`form`], or [`closed`], or [`is_for_kernel`]. The kernel looks for that behind each member; no
/// name ends an archive for it. Shows each member before that to `each`: its name and content.
pub(super) fn behind_cpio<'c>(
    content: &'c [u8],
    each: &mut dyn FnMut(&'c [u8], &'c [u8]),
) -> Option<usize> {
    let mut at = 0;
    loop {
        at += content.get(at..)?.iter().position(|byte| *byte != 0)?;
        let rest = &content[at..];
        let head = &rest[..rest.len().min(HEAD)];
        at += match form(head) {
            Some(Form::Cpio) => match member(rest) {
                Some(member) => {
                    each(member.name, member.content);
                    member.length
                }
                None => other_end(rest)?,
            },
            None if closed(head).is_none() && !is_for_kernel(head) => other_end(rest)?,
            _ => return Some(at),
        };
    }
}

/// A member of an archive for the kernel; what breaks off is shorter than its length.
struct Member<'c> {
    name: &'c [u8],
    content: &'c [u8],
    length: usize,
}

/// A member as the kernel reads it, which takes what is no digit for the end of a number.
fn member(rest: &[u8]) -> Option<Member<'_>> {
    let header = rest.get(..110)?;
    let field = |number: usize| {
        let text = &header[6 + 8 * number..][..8];
        let text = match text {
            [b'0', b'x' | b'X', digits @ ..] => digits,
            digits => digits,
        };
        let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(16));
        digits.fold(0, |value, digit| value << 4 | digit as usize)
    };
    let (size, length) = (field(6), field(11));
    let data = (110 + length).next_multiple_of(4);
    let part = |from: usize, to: usize| &rest[from.min(rest.len())..to.min(rest.len())];
    let name = part(110, 110 + length);
    Some(Member {
        name: name.strip_suffix(b"\0").unwrap_or(name),
        content: part(data, data + size),
        length: (data + size).next_multiple_of(4),
    })
}

/// What ends an archive for everything but the kernel: where that reads no more, others go on behind it.
fn other_end(rest: &[u8]) -> Option<usize> {
    const END: &[u8] = b"TRAILER!!!";
    memchr::memmem::find(rest, END).map(|found| found + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(content: &[u8]) -> Option<usize> {
        behind_cpio(content, &mut |_, _| {})
    }

    #[test]
    fn what_has_no_magic_is_known_by_what_it_decodes_to() {
        let all: [&[u8]; 8] = [
            b"plain text of any kind",
            b"x\x9c and no stream",
            b"hCard: a text whose first bytes could be zlib's",
            b"H\x89\xe5\x48\x83\xec\x10\x48\x8d\x3d\x00\x00\x00\x00\xe8",
            b"x\x01",
            b"\x5d\0\0\x80\0 and text, of which the size is none",
            b"\x6c\0\x10\0\0\x10\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0; 512],
        ];
        for head in all {
            assert_eq!(form(head), None, "{head:?}");
        }
    }

    /// An archive for the kernel with one file.
    fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
        let member = |name: &str, content: &[u8]| {
            let fields = [
                0,
                0,
                0,
                0,
                0,
                0,
                content.len(),
                0,
                0,
                0,
                0,
                name.len() + 1,
                0,
            ];
            let fields = fields.map(|field| format!("{field:08x}")).concat();
            let mut bytes = format!("070701{fields}{name}\0").into_bytes();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let zeroes = vec![0; 300];
        [member(name, content), member("TRAILER!!!", b""), zeroes].concat()
    }

    #[test]
    fn an_initrd_is_entered_behind_its_first_archives() {
        let zstd = zstd::encode_all(&b"inside"[..], 1).unwrap();
        let both = [cpio("microcode", b"1234"), cpio("more", b"x"), zstd.clone()].concat();
        let at = behind(&both).unwrap();
        assert_eq!(both[at..], zstd);
        assert_eq!(behind(&cpio("only", b"")), None);
        let old = [
            b"070707 of another kind TRAILER!!!\0\0".to_vec(),
            zstd.clone(),
        ]
        .concat();
        assert_eq!(old[behind(&old).unwrap()..], zstd);
    }

    /// The kernel goes on behind any member, and ends at no name: it takes what has the magic of
    /// something compressed, whether or not this is known here.
    #[test]
    fn an_archive_needs_no_end_to_be_followed_by_something() {
        let zstd = zstd::encode_all(&b"inside"[..], 1).unwrap();
        let whole = cpio("microcode", b"1234");
        let first = whole.len() - 300 - 124;
        let [one, last] = [&whole[..first], &whole[first..]];
        assert!(last.ends_with(&[0; 300]) && one.ends_with(b"1234"));
        let unknown = b"\x5d\0\x01\x02\x03 and so on".to_vec();
        let old = b"\x02\x21\x4c\x18 of lz4 -l".to_vec();
        for packed in [&zstd, &unknown, &old] {
            for early in [
                one.to_vec(),
                [one, one].concat(),
                [one, &[0; 8], one, &[0; 512]].concat(),
                whole.clone(),
                [last, one].concat(),
            ] {
                let all = [&early[..], packed].concat();
                assert_eq!(behind(&all), Some(early.len()), "{all:?}");
            }
        }
        // Numbers that only the kernel takes for such, and a name of no length.
        for (at, field) in [(54, "0x4     "), (54, "00000004"), (94, "0xA     ")] {
            let mut odd = one.to_vec();
            odd[at..at + 8].copy_from_slice(field.as_bytes());
            let all = [&odd[..], &zstd].concat();
            assert_eq!(behind(&all), Some(odd.len()), "{field}");
        }
        for plain in [&b"a signature"[..], b"#BOOTCONFIG\n", b"070701 of text"] {
            assert_eq!(behind(&[one, plain].concat()), None);
        }
    }

    /// Whoever makes an early archive may put its end's name into a file.
    #[test]
    fn what_looks_like_the_end_of_an_archive_is_none() {
        let zstd = zstd::encode_all(&b"inside"[..], 1).unwrap();
        let gzip = b"TRAILER!!!\0\0\0\x1f\x8b\x08 of nothing";
        for content in [&b"TRAILER!!!\0 and so on"[..], gzip] {
            let all = [cpio("TRAILER!!!.txt", content), zstd.clone()].concat();
            assert_eq!(all[behind(&all).unwrap()..], zstd);
        }
    }
}
