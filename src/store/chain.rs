//! What a guest sees on a layer's disk: its own file and every file below it.
//!
//! A digest of the overlay alone would not notice that the disk below it is another one. So an entry
//! keeps two: of its own file, and of the whole chain, which has the chain below it as an input.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::{self, Key};
use crate::error::{Error, Result};
use crate::store::{DISK, Entry, Store};

/// The digests of a layer's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// BLAKE3 of the disk's own file, in hex.
    pub file: String,
    /// Digest of the chain: of `file` and, where a disk backs this one, of that one's chain.
    pub chain: String,
}

impl Bytes {
    pub(super) fn new(file: String, below: Option<&str>) -> Self {
        let text = format!("{file}\n{}", below.unwrap_or_default());
        let chain = Key::of(text.as_bytes()).as_str().to_owned();
        Bytes { file, chain }
    }
}

impl Store {
    /// Whether the disk below a layer is the one that it was made on.
    pub(super) fn stands(&self, entry: &Entry) -> bool {
        let Some(parent) = &entry.meta.parent else {
            return true;
        };
        let Some(below) = self.entry(parent) else {
            return false;
        };
        match (&entry.meta.disk, &below.meta.disk) {
            (Some(own), Some(below)) => *own == Bytes::new(own.file.clone(), Some(&below.chain)),
            // An earlier imgforge kept no digests, and replaced entries: that one is younger then.
            _ => below.meta.created <= entry.meta.created,
        }
    }

    /// The digests of the disk in a draft, if it has one.
    pub(super) fn bytes_of_draft(&self, dir: &Path, parent: Option<&Key>) -> Result<Option<Bytes>> {
        let disk = dir.join(DISK);
        if !disk.exists() {
            return Ok(None);
        }
        let below = parent.map(|key| self.chain(key)).transpose()?;
        let file = digest::file_blake3(&disk)?;
        Ok(Some(Bytes::new(file, below.as_deref())))
    }

    /// The digest of the chain of `key`, as it was written down where it was.
    fn chain(&self, key: &Key) -> Result<String> {
        let entry = self.entry(key).ok_or_else(|| gone(key))?;
        match &entry.meta.disk {
            Some(disk) => Ok(disk.chain.clone()),
            None => self.read_chain(&entry),
        }
    }

    /// Reads the disk of `entry` and every one below it: they are what was committed.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) when a byte of one is another, with the stage that
    /// makes it; also when one cannot be read.
    pub fn verify(&self, entry: &Entry) -> Result<()> {
        self.read_chain(entry).map(drop)
    }

    fn read_chain(&self, entry: &Entry) -> Result<String> {
        let below = match &entry.meta.parent {
            Some(key) => {
                let below = self.read(key).ok_or_else(|| gone(key))?;
                Some(self.read_chain(&below)?)
            }
            None => None,
        };
        let found = Bytes::new(digest::file_blake3(&entry.disk())?, below.as_deref());
        match &entry.meta.disk {
            Some(known) if *known != found => Err(changed(entry)),
            _ => Ok(found.chain),
        }
    }
}

fn gone(key: &Key) -> Error {
    Error::gate(format!(
        "the layer {} that a disk builds on is not in the store any more",
        key.short()
    ))
    .hint("run the same build again: it makes the layer, and what builds on it")
}

fn changed(entry: &Entry) -> Error {
    let meta = entry.meta();
    Error::gate(format!(
        "the disk of the {} stage of {} changed after it was made",
        meta.stage, meta.image
    ))
    .cause(format!("it is {}", entry.disk().display()))
    .cause("imgforge never changes a finished layer: another program did, or the storage")
    .hint(format!("{}, and then what builds on it", meta.again()))
}
