//! Media that the store keeps, by their digest: for who has a lock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Kept, key_of, path_of, safe_name};
use crate::digest::{self, Key, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::http::Url;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::{Facts as _, Layer, Meta, Store};

/// Where the file with this SHA-256 lies, whatever its address was; its bytes are not looked at.
pub fn kept(store: &Store, sha256: &Sha256) -> Option<PathBuf> {
    find(store, sha256).map(|kept| path_of(&kept))
}

/// The entry with this SHA-256.
pub(super) fn find(store: &Store, sha256: &Sha256) -> Option<Layer<Kept>> {
    let is_it = |kept: &Layer<Kept>| path_of(kept).is_file();
    let by_key = store.get::<Kept>(&key_of(sha256.as_str()));
    if let Some(kept) = by_key.filter(is_it) {
        return Some(kept);
    }
    let mut all = store.all().into_iter();
    // Where nobody promised a digest, it is kept by what the server said of its version.
    all.find_map(|entry| {
        let meta = entry.meta();
        let kept = (meta.stage == Kept::STAGE).then(|| store.get::<Kept>(&meta.key))??;
        (kept.facts().sha256 == sha256.as_str() && is_it(&kept)).then_some(kept)
    })
}

/// The entries of media with these digests of SHA-256, in hex.
pub(in crate::store) fn locked(store: &Store, digests: &BTreeSet<String>) -> Vec<Key> {
    if digests.is_empty() {
        return vec![];
    }
    let all = store.all().into_iter();
    let media = all.filter(|entry| entry.meta().stage == Kept::STAGE);
    let named = media.filter_map(|entry| {
        let kept = store.get::<Kept>(&entry.meta().key)?;
        digests
            .contains(&kept.facts().sha256)
            .then(|| entry.meta().key.clone())
    });
    named.collect()
}

/// Puts a copy of `file`, which `url` is the address of, into the store, if it has this SHA-256.
///
/// # Errors
/// When it has another one, or cannot be copied.
pub fn put(store: &Store, ledger: &Ledger, url: &str, sha256: &Sha256, file: &Path) -> Result<()> {
    let began = Instant::now();
    let key = key_of(sha256.as_str());
    let _lock = store.lock(&key, |_| {})?;
    let url = Url::parse(url)?;
    let draft = store.draft(ledger)?;
    let name = safe_name(&url);
    let copy = draft.path().join(&name);
    let size = std::fs::copy(file, &copy).doing(|| format!("copying {}", file.display()))?;
    let found = digest::file_sha256(&copy)?;
    if found != sha256.as_str() {
        return Err(Error::gate(format!("{} is not {url}", file.display()))
            .cause(format!("expected sha256 {sha256}, found {found}"))
            .hint("do not use it"));
    }
    let mut inputs = Inputs::new(Kept::STAGE, 1);
    inputs.value("url", url.to_string());
    let kept = Kept {
        file: name.clone(),
        sha256: found,
        size,
        url: url.to_string(),
    };
    let meta = Meta::new(key, &name, Kept::STAGE, inputs, began);
    draft.commit_over(store, meta, kept).map(drop)
}
