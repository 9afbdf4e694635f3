//! The raw disk as blocks, read at any place by any thread.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

use crate::error::{Context as _, Error, Result};
use crate::host::sparse::is_zero;

/// A raw disk that must not change while it is read.
#[derive(Debug)]
pub(super) struct RawDisk {
    path: PathBuf,
    file: File,
    before: Stamp,
    block: u64,
    data: Vec<u64>,
}

/// What tells that a file was written to: size, modification and change times.
type Stamp = (u64, [i64; 4]);

impl RawDisk {
    /// The raw disk that was opened at `path`, to be read in blocks of `block` bytes.
    pub(super) fn of(file: File, path: &Path, block: usize) -> Result<Self> {
        let doing = || format!("reading {}", path.display());
        let before = stamp(&file).doing(doing)?;
        let data = with_data(&file, before.0, block as u64);
        Ok(RawDisk {
            path: path.to_owned(),
            file,
            before,
            block: block as u64,
            data,
        })
    }

    /// The blocks that are not altogether holes, in order.
    pub(super) fn data(&self) -> &[u64] {
        &self.data
    }

    /// The disk's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.before.0
    }

    /// How many blocks there are; the last one may be short.
    pub(super) fn blocks(&self) -> u64 {
        self.size().div_ceil(self.block)
    }

    /// How many bytes block `index` has.
    pub(super) fn len(&self, index: u64) -> usize {
        (self.size() - index * self.block).min(self.block) as usize
    }

    /// Block `index`, or nothing when it is all zeros.
    pub(super) fn read<'a>(&self, index: u64, buffer: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>> {
        buffer.resize(self.len(index), 0);
        self.file
            .read_exact_at(buffer, index * self.block)
            .doing(|| format!("reading {}", self.path.display()))?;
        Ok(if is_zero(buffer) { None } else { Some(buffer) })
    }

    /// Asserts at the end that nobody wrote to the disk meanwhile.
    pub(super) fn unchanged(&self) -> Result<()> {
        if stamp(&self.file).doing(|| format!("reading {}", self.path.display()))? == self.before {
            return Ok(());
        }
        Err(Error::stage(format!(
            "{} changed while it was packed",
            self.path.display()
        ))
        .hint("stop whatever writes to the disk, and run the command again"))
    }
}

/// The blocks of `block` bytes that hold data; where the file system does not say, all do.
fn with_data(file: &File, size: u64, block: u64) -> Vec<u64> {
    let mut found = vec![];
    let mut at = 0;
    while at < size {
        at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => at,
        };
        if at < size {
            found.push(at / block);
        }
        at = (at / block + 1) * block;
    }
    found
}

fn stamp(file: &File) -> std::io::Result<Stamp> {
    let m = file.metadata()?;
    Ok((
        m.len(),
        [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_changes_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"one").unwrap();
        let source = RawDisk::of(file.reopen().unwrap(), file.path(), 4096).unwrap();
        source.unchanged().unwrap();
        std::fs::write(file.path(), b"three").unwrap();
        let error = source.unchanged().unwrap_err();
        assert!(
            error.message().contains("changed while it was packed"),
            "{error}"
        );
    }
}
