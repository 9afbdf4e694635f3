//! Archives and packages within files, member by member.

use std::io::{self, Cursor, Read};

use super::content::{Found, Search};

/// The length of an rpm's lead, and of the fixed part of its headers.
const LEAD: u64 = 96;
const HEADER: usize = 16;

/// How large a header of an rpm may be, in bytes.
const MOST: u64 = 256 << 20;

/// More members than this are a trap: each is noted before any is read.
const MEMBERS: usize = 1 << 20;

/// How a member of an archive is called, behind the archives that it is in.
fn named(outer: &str, name: &str) -> String {
    format!("{outer}{name}: ")
}

/// An archive of tar, and what follows its end.
pub(super) fn tar(
    search: &Search<'_>,
    content: &mut dyn Read,
    depth: u32,
    outer: &str,
    found: &mut Found,
) -> io::Result<()> {
    let mut archive = ::tar::Archive::new(content);
    for member in archive.entries()? {
        let mut member = member?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        search.all(&mut member, depth - 1, &named(outer, &name), found);
    }
    search.bytes(archive.into_inner(), outer, found)
}

/// A zip archive.
pub(super) fn zip(
    search: &Search<'_>,
    content: &[u8],
    depth: u32,
    outer: &str,
    found: &mut Found,
) -> io::Result<()> {
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
        let name = named(outer, &name);
        match archive.by_index(index) {
            Ok(mut member) => search.all(&mut member, depth - 1, &name, found),
            Err(cause) => found.close(&name, format!("it cannot be unpacked: {cause}")),
        }
    }
    Ok(())
}

/// A package of Debian: an archive of ar with archives of tar.
pub(super) fn deb(
    search: &Search<'_>,
    content: &mut dyn Read,
    depth: u32,
    outer: &str,
    found: &mut Found,
) -> io::Result<()> {
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
        search.all(&mut member, depth - 1, &named(outer, name), found);
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
    depth: u32,
    outer: &str,
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
        search.bytes(&mut content.take(size), outer, found)?;
    }
    search.all(content, depth - 1, &named(outer, "its files"), found);
    Ok(())
}
