//! Archives of cpio(5) in its older formats: POSIX's, in octal digits, and the binary one, in either
//! order of bytes. Those for the kernel are others.

use std::io::{self, Read};

use super::content::{Found, Search};
use super::nested::behind_end;

/// How long the headers are.
const BINARY: usize = 26;
const POSIX: usize = 76;

/// How an archive ends for everybody.
const END: &[u8] = b"TRAILER!!!";

/// A longer name than any system has, in bytes.
const NAME: u64 = 64 << 10;

/// What is said of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    mode: u64,
    name: u64,
    size: u64,
    /// Whether name and content end at even bytes.
    even: bool,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'0', b'7', b'0', b'7', b'0', b'7', ..] => Self::posix(bytes.get(..POSIX)?),
            [0xc7, 0x71, ..] => Self::binary(bytes.get(..BINARY)?, u16::from_le_bytes),
            [0x71, 0xc7, ..] => Self::binary(bytes.get(..BINARY)?, u16::from_be_bytes),
            _ => None,
        }
    }

    fn posix(bytes: &[u8]) -> Option<Self> {
        let field = |from: usize, to: usize| {
            let digits = bytes[from..to].iter();
            digits.copied().try_fold(0, |sum, digit| match digit {
                b'0'..=b'7' => Some(sum << 3 | u64::from(digit - b'0')),
                _ => None,
            })
        };
        Some(Header {
            mode: field(18, 24)?,
            name: field(59, 65)?,
            size: field(65, 76)?,
            even: false,
        })
    }

    fn binary(bytes: &[u8], order: fn([u8; 2]) -> u16) -> Option<Self> {
        let half = |number: usize| u64::from(order([bytes[2 * number], bytes[2 * number + 1]]));
        Some(Header {
            mode: half(3),
            name: half(10),
            // The upper half comes first, whatever the order in each.
            size: half(11) << 16 | half(12),
            even: true,
        })
    }

    fn padding(self, length: u64) -> u64 {
        u64::from(self.even) * (length % 2)
    }
}

/// Whether an archive begins here. Two bytes of the binary one would be in many files: its first
/// member has a kind and a name.
pub(super) fn is_old(head: &[u8]) -> bool {
    let Some(header) = Header::of(head) else {
        return false;
    };
    let kinds = [0o01, 0o02, 0o04, 0o06, 0o10, 0o12, 0o14];
    let start = if header.even { BINARY } else { POSIX };
    let end = start.saturating_add(header.name as usize);
    let name = head.get(start..end.min(head.len())).unwrap_or_default();
    let whole = match name.split_last() {
        Some((last, name)) if end <= head.len() => *last == 0 && !name.contains(&0),
        _ => !name.contains(&0),
    };
    kinds.contains(&(header.mode >> 12)) && (2..=NAME).contains(&header.name) && whole
}

/// Every member, and what follows the end.
pub(super) fn search(
    search: &Search<'_>,
    content: &mut dyn Read,
    found: &mut Found,
) -> io::Result<()> {
    let damaged = || io::Error::other("the archive is damaged, or breaks off");
    loop {
        let mut bytes = Vec::new();
        (&mut *content)
            .take(BINARY as u64)
            .read_to_end(&mut bytes)?;
        if bytes.starts_with(b"070707") {
            let more = (POSIX - BINARY) as u64;
            (&mut *content).take(more).read_to_end(&mut bytes)?;
        }
        let header = Header::of(&bytes).filter(|header| header.name <= NAME);
        let header = header.ok_or_else(damaged)?;
        let mut name = Vec::new();
        let length = header.name + header.padding(header.name);
        (&mut *content).take(length).read_to_end(&mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == END {
            break;
        }
        let mut member = (&mut *content).take(header.size);
        search.member(&String::from_utf8_lossy(name), &mut member, found);
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            return Err(damaged());
        }
        let mut padding = (&mut *content).take(header.padding(header.size));
        io::copy(&mut padding, &mut io::sink())?;
    }
    behind_end(search, content, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;
    use crate::scan::tests::{found, gzip, secret};
    use crate::scan::{KNOWN_SECRET, NOT_SEARCHED};

    const VALUE: &str = "correct/horse battery+staple";

    /// What the programs make, a packed file between others.
    fn archives() -> Vec<(&'static str, Vec<u8>)> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("a", &b"odd"[..]),
            ("key.gz", &gzip(VALUE.as_bytes())),
            ("z", b""),
        ] {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let make = |program: Program| program.dir(dir.path()).output().unwrap();
        let cpio = |format: &str| {
            let cpio = Program::new("cpio").args(["--quiet", "-o", "-H", format]);
            make(cpio.input("a\nkey.gz\nz\n"))
        };
        let tar = Program::new("tar").args(["--format=v7", "-cf", "-", "a", "key.gz", "z"]);
        make(Program::new("ar").args(["rcS", "all.a", "a", "key.gz", "z"]));
        let mut swapped = cpio("bin");
        // The other order of bytes: of each half in the headers.
        let mut at = 0;
        while let Some(header) = Header::of(&swapped[at..]) {
            swapped[at..at + BINARY]
                .chunks_mut(2)
                .for_each(<[u8]>::reverse);
            let even = |length: u64| (length + length % 2) as usize;
            at += BINARY + even(header.name) + even(header.size);
        }
        vec![
            ("odc.cpio", cpio("odc")),
            ("bin.cpio", cpio("bin")),
            ("swapped.cpio", swapped),
            ("newc.cpio", cpio("newc")),
            ("v7.tar", make(tar)),
            ("all.a", std::fs::read(dir.path().join("all.a")).unwrap()),
        ]
    }

    #[test]
    fn packed_members_of_archives_in_any_format_are_searched() {
        for (name, archive) in archives() {
            let said = found(&[(name, &archive)], &secret(VALUE));
            assert_eq!(said, [format!("{KNOWN_SECRET} /{name}")], "{name}");
            // Also what is behind the end, and what breaks off is told.
            let more = [&archive[..], &[0; 1024], &gzip(VALUE.as_bytes())].concat();
            let said = found(&[(name, &more)], &secret(VALUE));
            assert!(said.contains(&format!("{KNOWN_SECRET} /{name}")), "{name}");
            let packed = memchr::memmem::find(&archive, b"\x1f\x8b\x08").unwrap();
            let broken = &archive[..packed + 20];
            let said = found(&[(name, broken)], &secret("another value of it"));
            assert_eq!(said, [format!("{NOT_SEARCHED} /{name}")], "{name}");
        }
    }

    #[test]
    fn two_bytes_are_no_archive() {
        for head in [
            &b"\xc7\x71"[..],
            &[
                0xc7, 0x71, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                21, 22, 23, 24, 25, 26, 27,
            ],
            &[[0xc7, 0x71].as_slice(), &[0; 510]].concat(),
            b"070707 of a text, in which no digits follow, however long that text may go on and on",
        ] {
            assert!(!is_old(head), "{head:?}");
        }
    }
}
