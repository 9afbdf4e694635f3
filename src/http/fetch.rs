//! A download into a file that a later call, in another process, can go on with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Client, Piece, Url};
use crate::error::{Context as _, Result};
use crate::host::{ours, space};

/// What [`Client::fetch`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Size of the file in bytes.
    pub size: u64,
    /// How many of them an earlier call had left.
    pub resumed: u64,
}

/// What is known about an unfinished download: `PART.from`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PartOrigin {
    url: String,
    validator: String,
}

impl Client {
    /// Downloads a file to `part`, synced; it may have at most `limit` bytes. `progress` is told
    /// how many bytes there are, and of how many.
    ///
    /// What a failure or an interrupt leaves is gone on with by the next call, if the server can
    /// say that the file is still the same. The caller sees to it that only one call at a time
    /// writes to `part`, compares the digest, and gives the file its final name.
    ///
    /// # Errors
    /// As [`Client::open`]; also when the file is larger, or `part` cannot be written.
    pub fn fetch(
        &self,
        url: &Url,
        part: &Path,
        limit: u64,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Fetched> {
        let doing = || format!("writing {}", part.display());
        let mut noted = read_note(part, url);
        let mut options = OpenOptions::new();
        let options = ours::no_link(options.create(true).append(true));
        let mut file = options.open(part).doing(doing)?;
        if noted.is_none() {
            file.set_len(0).doing(doing)?;
        }
        let mut size = file.metadata().doing(doing)?.len();
        let mut resumed = size;
        let mut stream = self.open_at(url, size, None, noted.as_deref())?;
        while let Some(piece) = stream.next_piece()? {
            if stream.validator() != noted.as_deref() {
                noted = stream.validator().map(str::to_owned);
                write_note(part, url, noted.as_deref())?;
            }
            match piece {
                Piece::Restart => {
                    file.set_len(0).doing(doing)?;
                    (size, resumed) = (0, 0);
                }
                Piece::Bytes(bytes) => {
                    space::check_at(&file, part)?;
                    file.write_all(&bytes).doing(doing)?;
                    size += bytes.len() as u64;
                }
            }
            if size.max(stream.total().unwrap_or_default()) > limit {
                drop(std::fs::remove_file(part));
                return Err(super::too_large(url, limit));
            }
            progress(size, stream.total());
        }
        file.sync_all().doing(doing)?;
        drop(std::fs::remove_file(note_path(part)));
        Ok(Fetched { size, resumed })
    }
}

/// Where a part came from, for who goes on with it.
pub(crate) fn note_path(part: &Path) -> PathBuf {
    let mut name = part.file_name().unwrap_or_default().to_owned();
    name.push(".from");
    part.with_file_name(name)
}

/// The validator of the file at `url` of which a part is here.
pub(crate) fn read_note(part: &Path, url: &Url) -> Option<String> {
    let note: PartOrigin = serde_json::from_slice(&std::fs::read(note_path(part)).ok()?).ok()?;
    (note.url == url.to_string()).then_some(note.validator)
}

/// Without a validator nobody could go on later: then there is no note.
pub(crate) fn write_note(part: &Path, url: &Url, validator: Option<&str>) -> Result<()> {
    let note = note_path(part);
    let Some(validator) = validator else {
        drop(std::fs::remove_file(note));
        return Ok(());
    };
    let from = PartOrigin {
        url: url.to_string(),
        validator: validator.to_owned(),
    };
    let text = serde_json::to_vec(&from).unwrap_or_default();
    let mut options = OpenOptions::new();
    let options = ours::no_link(options.write(true).create(true).truncate(true));
    options
        .open(&note)
        .and_then(|mut file| file.write_all(&text))
        .doing(|| format!("writing {}", note.display()))
}
