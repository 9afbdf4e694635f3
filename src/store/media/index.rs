//! Small files that describe an install tree: of a lock, or from the server.

use super::{Media, failed, plain};
use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::http::{Client, Url};
use crate::lock::{Fetched, Record};

impl Media<'_> {
    /// A file of at most `limit` bytes; nothing where there is none. It is written down either way, and kept.
    ///
    /// # Errors
    /// When it cannot be read, or a lock does not have it.
    pub(super) fn index(&self, client: &Client, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let read = || {
            client
                .read_optional(url, limit)
                .map_err(|error| failed(url, error))
        };
        if url.local().is_some() {
            return read();
        }
        let shown = plain(url);
        let Some(locked) = self.fetching.locked() else {
            let bytes = read()?;
            match &bytes {
                Some(bytes) => self.keep(shown, bytes)?,
                None => self.fetching.add(Record {
                    absent: [shown].into(),
                    ..Record::default()
                }),
            }
            return Ok(bytes);
        };
        if locked.is_absent([&*shown]) {
            return Ok(None);
        }
        let promised = locked.digest_of(&shown)?;
        if let Some(path) = self.cache.path(&promised) {
            let bytes = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            if Sha256::of(&bytes) == promised {
                self.keep(shown, &bytes)?;
                return Ok(Some(bytes));
            }
        }
        if locked.is_offline() {
            return Err(locked.is_nowhere(&shown));
        }
        let bytes = read()?.unwrap_or_default();
        let found = Sha256::of(&bytes);
        if found != promised {
            return Err(Error::stage(format!("{shown} has changed since"))
                .cause(format!(
                    "the lock names sha256 {promised}, and the server has {found}"
                ))
                .hint(locked.again()));
        }
        self.keep(shown, &bytes)?;
        Ok(Some(bytes))
    }

    fn keep(&self, url: String, bytes: &[u8]) -> Result<()> {
        let sha256 = Sha256::of(bytes);
        self.cache.add(&sha256, bytes)?;
        self.fetching.file(Fetched {
            url,
            sha256: sha256.as_str().to_owned(),
            size: bytes.len() as u64,
        });
        Ok(())
    }
}
