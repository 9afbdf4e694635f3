//! Archives of initial RAM disks: cpio's `newc`, as the kernel's buffer-format.rst defines it.

use std::io::{self, Read, Write};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// Writes an archive; [`Cpio::finish`] ends it. Equal members give equal bytes.
#[derive(Debug)]
pub(super) struct Cpio<W> {
    to: W,
    number: u32,
}

/// The largest file that a header can tell of, in bytes.
pub(super) const LARGEST: u64 = u32::MAX as u64;

impl<W: Write> Cpio<W> {
    /// Begins an archive at an offset that is a multiple of 4.
    pub(super) fn new(to: W) -> Self {
        Cpio { to, number: 0 }
    }

    /// Adds a member whose content is short.
    pub(super) fn add(
        &mut self,
        path: &str,
        kind: Kind,
        mode: u32,
        content: &[u8],
    ) -> io::Result<()> {
        self.member(path, kind, mode, content.len() as u64, content)
    }

    /// Adds a member of `size` bytes.
    pub(super) fn member(
        &mut self,
        path: &str,
        kind: Kind,
        mode: u32,
        size: u64,
        mut content: impl Read,
    ) -> io::Result<()> {
        let size32 =
            u32::try_from(size).map_err(|_| io::Error::other("too large for an archive"))?;
        let kind = match kind {
            Kind::File => 0o100_000,
            Kind::Directory => 0o040_000,
        };
        self.number += 1;
        self.header(path, kind | mode, self.number, size32)?;
        let copied = io::copy(&mut content, &mut self.to)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    fn header(&mut self, path: &str, mode: u32, number: u32, size: u32) -> io::Result<()> {
        let name = path.len() as u32 + 1;
        // Inode, mode, uid, gid, links, time, size, device twice, device twice, name, checksum.
        let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        self.to.write_all(b"070701")?;
        for field in fields {
            write!(self.to, "{field:08X}")?;
        }
        self.to.write_all(path.as_bytes())?;
        self.to.write_all(b"\0")?;
        self.pad(6 + 13 * 8 + u64::from(name))
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.to.write_all(&[0; 3][..padding(size)])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.header("TRAILER!!!", 0, 0, 0)?;
        Ok(self.to)
    }
}

/// How many bytes are missing to a multiple of 4.
pub(super) fn padding(size: u64) -> usize {
    (size.next_multiple_of(4) - size) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn cpio_itself_unpacks_it() {
        let mut archive = Cpio::new(vec![]);
        archive.add("bin", Kind::Directory, 0o755, b"").unwrap();
        archive.add("bin/run", Kind::File, 0o750, b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        let listed = Program::new("cpio").arg("-tv").input(bytes).text().unwrap();
        let lines: Vec<_> = listed.lines().collect();
        assert!(lines[0].starts_with("drwxr-xr-x") && lines[0].ends_with(" bin"));
        assert!(lines[1].starts_with("-rwxr-x---") && lines[1].contains(" 5 "));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_member_has_the_size_that_its_header_tells() {
        let mut archive = Cpio::new(vec![]);
        let short: &[u8] = b"half";
        let error = archive.member("a", Kind::File, 0o644, 8, short);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
