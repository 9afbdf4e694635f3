//! The `.xz` file in the making: bytes in order, hashed as they are written.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha512};

use super::container::{self, CRC64, Record};
use super::encode::Block;
use crate::error::{Context as _, Result};
use crate::host::outlet::{Outlet, Unfinished};

/// Writes a file that gets its name when it is complete.
#[derive(Debug)]
pub(super) struct Output<'a> {
    path: &'a Path,
    unfinished: Unfinished,
    file: BufWriter<File>,
    hasher: Sha512,
    size: u64,
    records: Vec<Record>,
}

impl<'a> Output<'a> {
    pub(super) fn create(outlet: &'a Outlet) -> Result<Self> {
        let path = outlet.path();
        let unfinished = outlet.create(0o666)?;
        let file = unfinished.file().try_clone();
        let file = file.doing(|| format!("writing {}", path.display()))?;
        let mut output = Output {
            path,
            unfinished,
            file: BufWriter::with_capacity(1 << 20, file),
            hasher: Sha512::new(),
            size: 0,
            records: vec![],
        };
        output.put(&container::stream_header(CRC64))?;
        Ok(output)
    }

    pub(super) fn block(&mut self, block: &Block) -> Result<()> {
        self.records.push(block.record);
        self.put(&block.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .doing(|| format!("writing {}", self.path.display()))
    }

    /// Ends the stream, syncs the file and gives it its name once `sound` agrees; returns its
    /// size in bytes and its SHA-512.
    pub(super) fn finish(mut self, sound: impl FnOnce() -> Result<()>) -> Result<(u64, String)> {
        let end = container::end(CRC64, &self.records);
        self.put(&end)?;
        let doing = || format!("writing {}", self.path.display());
        let file = self.file.into_inner().map_err(|e| e.into_error());
        file.doing(doing)?.sync_all().doing(doing)?;
        sound()?;
        self.unfinished.appear()?;
        Ok((self.size, hex::encode(self.hasher.finalize())))
    }
}
