//! Archives and packages within files, member by member.

use std::io::{self, Cursor, Read};

use super::content::{Found, Search};
use super::decode;
use super::stream::behind_zeroes;

/// The length of an rpm's lead, and of the fixed part of its headers.
const LEAD: u64 = 96;
const HEADER: usize = 16;

/// How large a header of an rpm may be, in bytes.
const MOST: u64 = 256 << 20;

/// More members than this are a trap: each is noted before any is read.
const MEMBERS: usize = 1 << 20;

/// An archive of tar, and what follows its end.
pub(super) fn tar(
    search: &Search<'_>,
    content: &mut dyn Read,
    found: &mut Found,
) -> io::Result<()> {
    let mut archive = ::tar::Archive::new(content);
    for member in archive.entries()? {
        let mut member = member?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        search.member(&name, &mut member, found);
    }
    behind_end(search, archive.into_inner(), found)
}

/// What follows the end of an archive and its zeroes.
pub(super) fn behind_end(
    search: &Search<'_>,
    content: &mut dyn Read,
    found: &mut Found,
) -> io::Result<()> {
    if let Some(mut rest) = behind_zeroes(content)? {
        search.member("behind its end", &mut rest, found);
        io::copy(&mut rest, &mut io::sink())?;
    }
    Ok(())
}

/// What of an archive for the kernel is packed itself, and what is behind it; plain bytes of members
/// are bytes of the archive.
pub(super) fn cpio(search: &Search<'_>, content: &[u8], found: &mut Found) -> io::Result<()> {
    let behind = decode::behind_cpio(content, &mut |name, mut member| {
        if decode::is_packed(member) {
            let name = String::from_utf8_lossy(name);
            search.member(&name, &mut member, found);
        }
    });
    match behind {
        Some(at) => {
            let search = search.within(search.member);
            search.behind(&mut &content[at..], found)
        }
        None => Ok(()),
    }
}

/// A zip archive.
pub(super) fn zip(search: &Search<'_>, content: &[u8], found: &mut Found) -> io::Result<()> {
    let members = memchr::memmem::find_iter(content, b"PK\x01\x02");
    if members.take(MEMBERS + 1).count() > MEMBERS {
        return Err(io::Error::other("it has more than a million members"));
    }
    let mut archive = ::zip::ZipArchive::new(Cursor::new(content)).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        let name = match archive.by_index_raw(index) {
            Ok(member) if member.is_dir() => continue,
            Ok(member) => String::from_utf8_lossy(member.name_raw()).into_owned(),
            Err(_) => format!("member {}", index + 1),
        };
        match archive.by_index(index) {
            Ok(mut member) => search.member(&name, &mut member, found),
            Err(cause) => {
                let why = format!("it cannot be unpacked: {cause}");
                found.close(&search.named(&name), why);
            }
        }
    }
    Ok(())
}

/// An archive of ar: a package of Debian, which has archives of tar, or a library.
pub(super) fn ar(search: &Search<'_>, content: &mut dyn Read, found: &mut Found) -> io::Result<()> {
    content.read_exact(&mut [0; 8])?;
    loop {
        let mut header = Vec::new();
        content.take(60).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&header).into_owned();
        let size = text.get(48..58).and_then(|size| size.trim().parse().ok());
        let (Some(name), Some(size)) = (text.get(..16), size) else {
            return Err(io::Error::other("the archive is damaged"));
        };
        let name = name.trim_end().trim_end_matches('/');
        let mut member = content.take(size);
        search.member(name, &mut member, found);
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            return Err(io::Error::other("the archive breaks off"));
        }
        if size % 2 == 1 {
            content.take(1).read_to_end(&mut header)?;
        }
    }
}

/// A package of rpm: two headers, which hold the scripts, and a compressed archive.
pub(super) fn rpm(
    search: &Search<'_>,
    content: &mut dyn Read,
    found: &mut Found,
) -> io::Result<()> {
    io::copy(&mut content.take(LEAD), &mut io::sink())?;
    for padded in [true, false] {
        let mut head = [0; HEADER];
        content.read_exact(&mut head)?;
        let number = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            u64::from(u32::from_be_bytes(bytes))
        };
        if head[..3] != [0x8e, 0xad, 0xe8] || number(8) * 16 + number(12) > MOST {
            return Err(io::Error::other("a header of the package is damaged"));
        }
        let mut size = number(8) * 16 + number(12);
        if padded {
            size = size.next_multiple_of(8);
        }
        search.bytes(&mut content.take(size), found)?;
    }
    search.member("its files", content, found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scan::tests::{found, gzip, secret};
    use crate::scan::{KNOWN_SECRET, NOT_SEARCHED};

    /// A member of an archive of cpio.
    fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = format!(
            "070701{:048x}{:08x}{:032x}{:08x}{:08x}{name}\0",
            0,
            content.len(),
            0,
            name.len() + 1,
            0
        )
        .into_bytes();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn members_of_cpio_are_searched_decoded() {
        let value = "correct/horse battery+staple";
        let all = [
            cpio("first", b"x"),
            cpio("usr/a.gz", &gzip(value.as_bytes())),
            cpio("b.7z", b"7z\xbc\xaf\x27\x1c and more"),
            cpio("TRAILER!!!", b""),
        ]
        .concat();
        let header = [&[0x8e, 0xad, 0xe8, 1][..], &[0; 12]].concat();
        let mut rpm = vec![0xed, 0xab, 0xee, 0xdb];
        rpm.resize(96, 0);
        rpm.extend([&header[..], &header, &gzip(&all)].concat());
        let all = found(&[("initrd", &all), ("x.rpm", &rpm)], &secret(value));
        let both = |rule| ["/initrd", "/x.rpm"].map(|path| format!("{rule} {path}"));
        assert_eq!(all, [both(KNOWN_SECRET), both(NOT_SEARCHED)].concat());
    }
}
