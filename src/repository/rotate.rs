//! Another signing key, without a day on which clients fail.
//!
//! Clients accept one signature by the one key that they have. So while they change over, every
//! index lies under two URLs, `index.asc` with the old key's signature and `index-SUFFIX.asc` with
//! the new one's. At the end the first URL changes to the new key; the second stays for those who
//! went there.

use serde::{Deserialize, Serialize};

use super::state::Stamp;
use super::transaction::Transaction;
use super::views::ViewFile;
use super::{Repository, check_name, files};
use crate::error::{Context as _, Error, Result};

/// `.imgforge/keys.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Keys {
    version: u32,
    /// Fingerprint of the key that signs everything.
    pub(super) main: String,
    /// Other URLs of the indexes.
    pub(super) seconds: Vec<Second>,
    /// Fingerprints of keys that signed once.
    pub(super) retired: Vec<String>,
}

/// Indexes under other names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Second {
    /// What their names end with.
    pub(super) suffix: String,
    /// The key that signs them.
    pub(super) fingerprint: String,
    /// It is one of imgforge's own.
    #[serde(default)]
    pub(super) own: bool,
}

/// What a rotation is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The old key.
    pub from: String,
    /// The new one.
    pub to: String,
    /// URLs of the default channel's index and of the key, for clients to change over to.
    pub index: String,
    /// See `index`.
    pub key: String,
    /// Everything is signed by the new key now.
    pub finished: bool,
}

impl Repository {
    pub(super) fn keys(&self) -> Result<Keys> {
        let keys = files::read_json::<Keys>(&self.private("keys.json"))?;
        Ok(keys.unwrap_or_else(|| Keys {
            version: 1,
            main: self.fingerprint.clone(),
            ..Keys::default()
        }))
    }

    /// Begins a rotation to `key`, anything that gpg knows, or to a new key of imgforge's own:
    /// every index lies under a second URL, too, signed by it.
    ///
    /// # Errors
    /// When there is no such key, it signs already, or another rotation is not finished.
    pub fn rotate(&self, key: Option<&str>, suffix: &str, stamp: &Stamp) -> Result<Rotation> {
        check_name("file", suffix)?;
        let held = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        let keys = &mut transaction.keys;
        if let Some(second) = keys
            .seconds
            .iter()
            .find(|second| second.fingerprint != keys.main)
        {
            return Err(Error::usage(format!(
                "the rotation to {} is not finished",
                second.fingerprint
            ))
            .hint("`imgforge repo rotate-key --finish` ends it"));
        }
        if keys.seconds.iter().any(|second| second.suffix == suffix) {
            return Err(
                Error::usage(format!("there is an index-{suffix}.asc already"))
                    .hint("name another suffix with --suffix"),
            );
        }
        // What is refused makes no key.
        let signer = self.signer.successor(key)?;
        let public = signer.public_key()?;
        let fingerprint = super::key::show(&public)?.join(" ");
        if keys.main == fingerprint || keys.retired.contains(&fingerprint) {
            return Err(
                Error::usage(format!("{fingerprint} signs already, or has signed"))
                    .hint("name another key"),
            );
        }
        let suffix = suffix.to_owned();
        let (file, to) = (format!("imgforge-{suffix}.gpg"), fingerprint.clone());
        let own = signer.is_own();
        keys.seconds.push(Second {
            suffix,
            fingerprint,
            own,
        });
        let from = keys.main.clone();
        transaction.files.push(ViewFile::new(&file, public));
        let rotation = self.rotation(&transaction.keys, from, to, false);
        transaction.resign()?;
        transaction.commit()?;
        Ok(rotation)
    }

    /// Ends a rotation: everything is signed by the new key, in one transaction.
    ///
    /// # Errors
    /// When no rotation was begun.
    pub fn finish_rotation(&self, stamp: &Stamp) -> Result<Rotation> {
        let held = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        let keys = &mut transaction.keys;
        let from = keys.main.clone();
        let second = keys
            .seconds
            .iter()
            .rfind(|second| second.fingerprint != from);
        let second = second.cloned().ok_or_else(|| {
            Error::usage("no rotation was begun").hint("`imgforge repo rotate-key` begins one")
        })?;
        let signer = self.signer.with_key(&second.fingerprint, second.own);
        let to = second.fingerprint;
        let public = signer.public_key()?;
        keys.main.clone_from(&to);
        keys.retired.push(from.clone());
        transaction.signer = signer;
        transaction.fingerprint.clone_from(&to);
        transaction
            .files
            .push(ViewFile::new("imgforge.gpg", public));
        let rotation = self.rotation(&transaction.keys, from, to, true);
        transaction.resign()?;
        transaction.commit()?;
        Ok(rotation)
    }

    fn rotation(&self, keys: &Keys, from: String, to: String, finished: bool) -> Rotation {
        let suffix = keys
            .seconds
            .last()
            .map_or("", |second| second.suffix.as_str());
        Rotation {
            from,
            to,
            index: format!("{}/index-{suffix}.asc", self.url),
            key: format!("{}/imgforge-{suffix}.gpg", self.url),
            finished,
        }
    }
}

impl Transaction<'_> {
    /// Signs everything again: what is derived from the state, the indexes, and the files beside
    /// blobs.
    fn resign(&mut self) -> Result<()> {
        self.all = true;
        let bytes = files::json(&self.keys)?;
        self.files.push(ViewFile::new(".imgforge/keys.json", bytes));
        if self.fingerprint == self.repository.fingerprint {
            return Ok(());
        }
        let mut signed = Vec::new();
        for image in self.state.images.values() {
            for revision in image.revisions.values().filter(|one| one.removed.is_none()) {
                let beside = revision.companions.values().filter(|file| file.signed);
                signed.extend(beside.map(|file| file.path.clone()));
            }
        }
        signed.sort();
        signed.dedup();
        for path in signed {
            let file = self.repository.root.join(&path);
            let bytes = std::fs::read(&file).doing(|| format!("reading {}", file.display()))?;
            self.files.push(ViewFile::new(path, bytes).detached());
        }
        Ok(())
    }
}

/// The path of an index under its second URL.
pub(super) fn second_path(index: &str, suffix: &str) -> Option<String> {
    let stem = index.strip_suffix("index.asc")?;
    Some(format!("{stem}index-{suffix}.asc"))
}
