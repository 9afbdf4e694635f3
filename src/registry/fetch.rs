//! A blob, into a file that a later call, in another process, can go on with.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::Registry;
use crate::digest::{self, Sha256};
use crate::error::{Context as _, Kind, Result};
use crate::host::{ours, space};
use crate::http::{Piece, Stream};

/// What became of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It is there, and has its digest.
    Whole,
    /// The registry does not have it.
    Missing,
    /// What the registry has is another one: it has other bytes, or fewer, or more.
    Other,
}

impl Registry {
    /// Fetches a blob of `size` bytes to `part`, synced. What a failure leaves there is gone on with by
    /// the next call: the digest says what the file is. One call at a time writes to `part`. `progress` is
    /// told how many bytes are there.
    ///
    /// # Errors
    /// When the registry cannot be reached or fails, or `part` cannot be written.
    pub fn fetch_blob(
        &self,
        digest: &Sha256,
        size: u64,
        part: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Fetched> {
        let doing = || format!("writing {}", part.display());
        let mut options = OpenOptions::new();
        let options = ours::no_link(options.create(true).append(true));
        let mut file = options.open(part).doing(doing)?;
        let mut resumed = file.metadata().doing(doing)?.len();
        if resumed > size {
            file.set_len(0).doing(doing)?;
            resumed = 0;
        }
        let mut renewed_at = None;
        loop {
            let appended = self.append(&mut file, digest, size, part, progress);
            // A token may have ended on the way, and that was noticed when a connection broke.
            if let Err(error) = &appended {
                let at = file.metadata().doing(doing)?.len();
                let is_own =
                    !matches!(error.kind(), Kind::Interrupted(_)) && renewed_at != Some(at);
                if is_own && self.renew()? {
                    renewed_at = Some(at);
                    continue;
                }
            }
            if !appended? {
                drop(std::fs::remove_file(part));
                return Ok(Fetched::Missing);
            }
            let found = file.metadata().doing(doing)?.len();
            if found == size && digest::file_sha256(part)? == digest.as_str() {
                file.sync_all().doing(doing)?;
                return Ok(Fetched::Whole);
            }
            // What an earlier call left may be what is wrong.
            if resumed == 0 {
                drop(std::fs::remove_file(part));
                return Ok(Fetched::Other);
            }
            resumed = 0;
            file.set_len(0).doing(doing)?;
        }
    }

    /// Starts to read a part of a blob, as [`Client::open_at`](crate::http::Client::open_at) does; nothing where
    /// the registry does not have it.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn open_blob(
        &self,
        digest: &Sha256,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Option<Stream<'_>>> {
        self.renew()?;
        let url = self.blob(digest)?;
        self.client.open_known_at(&url, start, end, validator)
    }

    /// Gets another token where the last one has ended; whether there is one.
    ///
    /// # Errors
    /// When the token service cannot be asked.
    pub fn renew(&self) -> Result<bool> {
        self.access.refresh(&self.client, &self.base)
    }

    /// Appends what is missing of a blob; false when the registry does not have it.
    fn append(
        &self,
        file: &mut File,
        digest: &Sha256,
        size: u64,
        part: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool> {
        let doing = || format!("writing {}", part.display());
        let mut at = file.metadata().doing(doing)?.len();
        if at == size {
            return Ok(true);
        }
        let Some(mut stream) = self.open_blob(digest, at, None, None)? else {
            return Ok(false);
        };
        while at <= size {
            let Some(piece) = stream.next_piece()? else {
                break;
            };
            match piece {
                Piece::Restart => {
                    file.set_len(0).doing(doing)?;
                    at = 0;
                }
                Piece::Bytes(bytes) => {
                    space::check_at(file, part)?;
                    file.write_all(&bytes).doing(doing)?;
                    at += bytes.len() as u64;
                }
            }
            progress(at.min(size));
        }
        Ok(true)
    }
}
