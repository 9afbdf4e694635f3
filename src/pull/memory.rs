//! What was seen of a repository before, in `STATE/repositories/ID/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Session;
use super::place::Place;
use crate::digest::Key;
use crate::error::{Context as _, Result};
use crate::gpg::Keyring;
use crate::store::{private_dir, write_atomic};

/// `memory.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Memory {
    pub(super) url: String,
    /// The keys that a command named.
    pub(super) fingerprints: Vec<String>,
    /// The highest revision by entry and architecture.
    pub(super) seen: BTreeMap<String, u64>,
    /// When the newest signature at each address was made, seconds since 1970.
    pub(super) signed: BTreeMap<String, i64>,
    /// When the certificates were last looked for, seconds since 1970.
    pub(super) refreshed: i64,
}

/// Where the memory of a repository is. An older imgforge named it by digits so few that somebody
/// could make another repository's address have them: such a one goes on for its own address only.
pub(super) fn dir(session: &Session<'_>, place: &Place) -> PathBuf {
    let base = place.base.to_string();
    let id = Key::of(base.as_bytes());
    let all = session.store.state().join("repositories");
    let (dir, older) = (all.join(id.as_str()), all.join(id.short()));
    if !dir.exists() && read(&older).url == base {
        // Where that fails nothing is remembered, and trusted.
        drop(std::fs::rename(older, &dir));
    }
    dir
}

pub(super) fn read(dir: &Path) -> Memory {
    let bytes = std::fs::read(dir.join("memory.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Changes the memory under a lock; an error of `change` leaves it as it was.
pub(super) fn update(dir: &Path, change: impl FnOnce(&mut Memory) -> Result<()>) -> Result<()> {
    let doing = || format!("writing {}", dir.display());
    private_dir(dir).doing(doing)?;
    let lock = File::create(dir.join("lock")).doing(doing)?;
    lock.lock().doing(doing)?;
    let mut memory = read(dir);
    change(&mut memory)?;
    let text = serde_json::to_vec_pretty(&memory).unwrap_or_default();
    write_atomic(&dir.join("memory.json"), &text)
}

/// Where the renewed certificates of these keys are kept.
pub(super) fn renewed(dir: &Path, fingerprints: &[String]) -> PathBuf {
    let keys = Key::of(fingerprints.join(" ").as_bytes());
    dir.join(format!("renewed-{}.gpg", keys.short()))
}

/// The keyring of an earlier time, if it has the keys that were named then and no others.
pub(super) fn remembered(dir: &Path) -> Option<Keyring> {
    let keyring = Keyring::of_file(&dir.join("imgforge.gpg"), None).ok()?;
    keyring.is_of(&read(dir).fingerprints).then_some(keyring)
}
