//! Blobs that the store keeps, by their digest: for who has a lock.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::blob::{BLOB, STAGE, key};
use super::download::Kept;
use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::{Meta, Store};

/// The blob of a published image that is on this host.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    /// Where it was published.
    pub url: &'a str,
    /// Its revision.
    pub revision: u64,
    /// SHA-512 of its bytes, in hex.
    pub sha512: &'a str,
    /// Where it lies.
    pub file: &'a Path,
}

/// Where the blob with this SHA-512 lies in the store; its bytes are not looked at.
pub fn kept(store: &Store, sha512: &str) -> Option<PathBuf> {
    let entry = store.entry(&key(sha512))?;
    Some(entry.path().join(BLOB)).filter(|path| path.is_file())
}

/// Puts a copy of a blob into the store, if it has the digest that it should have.
///
/// # Errors
/// When it has another one, or cannot be copied.
pub fn put(store: &Store, ledger: &Ledger, blob: &Blob<'_>) -> Result<()> {
    let began = Instant::now();
    let key = key(blob.sha512);
    let _lock = store.lock(&key, |_| {})?;
    let draft = store.draft(ledger)?;
    let (file, copy) = (blob.file, draft.path().join(BLOB));
    let size = std::fs::copy(file, &copy).doing(|| format!("copying {}", file.display()))?;
    let found = digest::file_sha512(&copy)?;
    if found != blob.sha512 {
        return Err(Error::gate(format!(
            "{} is not the blob of {}",
            file.display(),
            blob.url
        ))
        .cause(format!("expected sha512 {}, found {found}", blob.sha512))
        .hint("do not use it"));
    }
    let facts = Kept {
        sha512: found,
        size,
        url: blob.url.to_owned(),
        revision: blob.revision,
    };
    let name = blob.url.rsplit('/').next().unwrap_or(STAGE);
    let meta = Meta::new(key, name, STAGE, Inputs::new(STAGE, 1), began);
    draft.commit_over(store, meta, facts).map(drop)
}
