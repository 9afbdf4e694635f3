//! The job's archive: POSIX tar, straight on a disk, archives within it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tar::{EntryType, Header};

use crate::steps::entry::{ArchiveEntry, Content};
use crate::time::now;

/// Writes `entries` as an archive and returns its size, which is a multiple of 512.
pub(super) fn write(out: &mut (impl Write + Seek), entries: &[ArchiveEntry]) -> io::Result<u64> {
    write_at(out, entries, now())
}

fn write_at(out: &mut (impl Write + Seek), entries: &[ArchiveEntry], now: u64) -> io::Result<u64> {
    let start = out.stream_position()?;
    for entry in entries {
        write_entry(out, entry, now)?;
    }
    out.write_all(&[0; 1024])?;
    Ok(out.stream_position()? - start)
}

/// The size is known only afterwards, so the header is written twice.
fn write_entry(out: &mut (impl Write + Seek), entry: &ArchiveEntry, now: u64) -> io::Result<()> {
    let mut header = header(entry, now)?;
    let at = out.stream_position()?;
    out.write_all(header.as_bytes())?;
    let size = match &entry.content {
        Content::Bytes(bytes) => out.write_all(bytes).map(|()| bytes.len() as u64)?,
        Content::File(path) => copy(path, out)?,
        Content::Archive(entries) => write_at(out, entries, now)?,
        Content::Link(_) | Content::Dir => 0,
    };
    out.write_all(&[0; 512][..(size.next_multiple_of(512) - size) as usize])?;
    let end = out.stream_position()?;
    header.set_size(size);
    header.set_cksum();
    out.seek(SeekFrom::Start(at))?;
    out.write_all(header.as_bytes())?;
    out.seek(SeekFrom::Start(end)).map(drop)
}

fn header(entry: &ArchiveEntry, now: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(&entry.path)?;
    header.set_mode(entry.mode);
    header.set_mtime(now);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_entry_type(match &entry.content {
        Content::Link(_) => EntryType::Symlink,
        Content::Dir => EntryType::Directory,
        _ => EntryType::Regular,
    });
    if let Content::Link(target) = &entry.content {
        header.set_link_name(target)?;
    }
    header.set_size(0);
    header.set_cksum();
    Ok(header)
}

fn copy(path: &Path, out: &mut impl Write) -> io::Result<u64> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let file = File::open(path).map_err(named)?;
    io::copy(&mut file.take(u64::MAX), out).map_err(named)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn archives_within_archives_are_read_back() {
        let inner = vec![
            ArchiveEntry {
                mode: 0o755,
                ..ArchiveEntry::bytes("etc/tool", "#!/bin/sh\n")
            },
            ArchiveEntry {
                path: "etc/link".into(),
                mode: 0o777,
                content: Content::Link("tool".into()),
            },
            ArchiveEntry {
                path: "var/empty".into(),
                mode: 0o755,
                content: Content::Dir,
            },
        ];
        let mut out = Cursor::new(vec![]);
        let size = write(
            &mut out,
            &[
                ArchiveEntry::bytes("a", "x"),
                ArchiveEntry::archive("b.tar", inner),
            ],
        )
        .unwrap();
        let bytes = out.into_inner();
        assert_eq!((size, size % 512), (bytes.len() as u64, 0));
        let mut outer = tar::Archive::new(&bytes[..]);
        let mut entries = outer.entries().unwrap();
        assert_eq!(entries.next().unwrap().unwrap().size(), 1);
        let mut nested = tar::Archive::new(entries.next().unwrap().unwrap());
        let seen: Vec<_> = nested
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (
                    path,
                    entry.header().mode().unwrap(),
                    entry.header().entry_type(),
                    entry.size(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("etc/tool".into(), 0o755, EntryType::Regular, 10),
                ("etc/link".into(), 0o777, EntryType::Symlink, 0),
                ("var/empty".into(), 0o755, EntryType::Directory, 0),
            ]
        );
    }
}
