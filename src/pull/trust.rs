//! Whose signature on an index counts, and what was seen of a repository before.
//!
//! A key is trusted because the user names it: in the command, in imgforge.yaml or in
//! virt-builder's configuration. What the command named is remembered for the next time, in
//! `STATE/repositories/ID/`. A key that only the repository itself offers is never trusted: the
//! error shows its fingerprint, to be compared with what its owner says.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::Place;
use super::{Options, Session};
use crate::digest::Key;
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::temporary::Temporary;
use crate::http::Url;
use crate::index::Entry;
use crate::repository::{self, Keyring, Verified};
use crate::store::write_atomic;

/// More than any keyring has, in bytes.
const LARGEST_KEYRING: u64 = 4 << 20;

/// The name of the public key in a repository.
const KEY_FILE: &str = "imgforge.gpg";

/// What is known about a repository from earlier times.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Memory {
    url: String,
    fingerprints: Vec<String>,
    /// The highest revision by entry and architecture.
    seen: BTreeMap<String, u64>,
}

/// Verifies the signed text at `url` with the keys that the user trusts for this repository.
pub(super) struct Trust<'a> {
    session: &'a Session<'a>,
    place: &'a Place,
    keyring: PathBuf,
    _temporary: Option<Temporary>,
    /// What the command named, to be remembered once it has proved good.
    fresh: Option<Keyring>,
}

impl<'a> Trust<'a> {
    /// Finds the keys.
    pub(super) fn find(
        session: &'a Session<'a>,
        place: &'a Place,
        options: &Options<'_>,
    ) -> Result<Self> {
        let named = options.key.is_some() || options.fingerprint.is_some();
        let (key, fingerprint) = if named {
            (
                options.key.map(Path::to_owned),
                options.fingerprint.map(str::to_owned),
            )
        } else {
            (place.key.clone(), place.fingerprint.clone())
        };
        let fingerprint = fingerprint.as_deref().map(normal_fingerprint).transpose()?;
        let keyring = match (&key, &fingerprint) {
            (Some(file), fingerprint) => {
                let bytes = std::fs::read(file).map_err(|cause| {
                    let message = format!("the key {} cannot be read", file.display());
                    Error::usage(message).cause(cause)
                })?;
                Keyring::read(&bytes, fingerprint.as_deref())?
            }
            (None, Some(fingerprint)) => match remembered(session, place, fingerprint) {
                Some(keyring) => return Ok(Self::with(session, place, keyring, None)),
                None => by_fingerprint(session, place, fingerprint)?,
            },
            (None, None) => return Self::unnamed(session, place),
        };
        let temporary = Temporary::new()?;
        let path = temporary.path().join("keyring");
        std::fs::write(&path, &keyring.bytes).doing(|| "writing a keyring".into())?;
        let mut trust = Self::with(session, place, path, Some(temporary));
        trust.fresh = (named || place.key.is_none()).then_some(keyring);
        Ok(trust)
    }

    fn with(
        session: &'a Session<'a>,
        place: &'a Place,
        keyring: PathBuf,
        temporary: Option<Temporary>,
    ) -> Self {
        Trust {
            session,
            place,
            keyring,
            _temporary: temporary,
            fresh: None,
        }
    }

    /// Neither the command nor a configuration names a key.
    fn unnamed(session: &'a Session<'a>, place: &'a Place) -> Result<Self> {
        let remembered = memory_dir(session, place).join(KEY_FILE);
        if remembered.is_file() {
            return Ok(Self::with(session, place, remembered, None));
        }
        let own = place.base.local().map(|base| base.join(KEY_FILE));
        if let Some(keyring) = own.filter(|keyring| place.own && keyring.is_file()) {
            return Ok(Self::with(session, place, keyring, None));
        }
        Err(first_use(session, place))
    }

    /// Verifies a clear-signed text; what the command named is remembered from now on.
    pub(super) fn verify(&mut self, signed: &[u8], url: &Url) -> Result<Verified> {
        let verified = repository::verify(signed, &self.keyring).map_err(|error| {
            let hint = match error.kind() {
                Kind::Gate => {
                    "do not use it; if its owner announced a new key, name it with --fingerprint"
                }
                _ => "`imgforge doctor` says whether gpg is usable here",
            };
            error
                .within(format!("{url} is not to be trusted"))
                .hint(hint)
        })?;
        if let Some(fresh) = self.fresh.take() {
            self.remember(&fresh)?;
        }
        Ok(verified)
    }

    fn remember(&self, keyring: &Keyring) -> Result<()> {
        let dir = memory_dir(self.session, self.place);
        let known = read_memory(&dir).fingerprints == keyring.fingerprints;
        if known && dir.join(KEY_FILE).is_file() {
            return Ok(());
        }
        write_atomic(&dir.join(KEY_FILE), &keyring.bytes)?;
        update(&dir, |memory| {
            memory.url = self.place.base.to_string();
            memory.fingerprints.clone_from(&keyring.fingerprints);
            Ok(())
        })?;
        let keys = keyring.fingerprints.join(", ");
        let base = &self.place.base;
        self.session
            .ui
            .notice(format!("{base} is trusted from now on if {keys} signs it"));
        Ok(())
    }

    /// Compares an entry's revision with what was seen before: an old index with a good signature
    /// must not bring old images back.
    pub(super) fn no_older(&self, entry: &Entry, allow: bool) -> Result<()> {
        let name = format!("{}/{}", entry.id, entry.arch);
        let known = read_memory(&memory_dir(self.session, self.place));
        if known.seen.get(&name) == Some(&entry.revision) {
            return Ok(());
        }
        update(&memory_dir(self.session, self.place), |memory| {
            memory.url = self.place.base.to_string();
            let seen = memory.seen.insert(name, entry.revision).unwrap_or_default();
            if entry.revision >= seen || allow {
                return Ok(());
            }
            Err(Error::gate(format!(
                "`{}` has gone back from revision {seen} to {}",
                entry.id, entry.revision
            ))
            .cause("an old index is served: by mistake, by a stale proxy, or on purpose")
            .hint("ask the repository's owner; --allow-older takes it all the same"))
        })
    }
}

/// The keyring of an earlier time, if it has this key and no other.
fn remembered(session: &Session<'_>, place: &Place, fingerprint: &str) -> Option<PathBuf> {
    let dir = memory_dir(session, place);
    let same = read_memory(&dir).fingerprints == [fingerprint];
    Some(dir.join(KEY_FILE)).filter(|keyring| same && keyring.is_file())
}

/// The key with this fingerprint: of the user's own keyring, else the one that the repository
/// offers.
fn by_fingerprint(session: &Session<'_>, place: &Place, fingerprint: &str) -> Result<Keyring> {
    if let Ok(keyring) = Keyring::of_user(fingerprint) {
        return Ok(keyring);
    }
    match offered(session, place)? {
        Some((_, bytes)) => Keyring::read(&bytes, Some(fingerprint)).map_err(|error| {
            error.hint("somebody else may have signed it: ask the repository's owner")
        }),
        None => Err(Error::usage(format!("there is no key {fingerprint}"))
            .cause(format!(
                "neither in gpg's keyring nor at {}{KEY_FILE}",
                place.base
            ))
            .hint("name the file that has it: --key FILE")),
    }
}

/// The key that the repository offers.
fn offered(session: &Session<'_>, place: &Place) -> Result<Option<(Url, Vec<u8>)>> {
    let url = place.base.join(KEY_FILE)?;
    let bytes = session.client.read_optional(&url, LARGEST_KEYRING)?;
    Ok(bytes.map(|bytes| (url, bytes)))
}

fn first_use(session: &Session<'_>, place: &Place) -> Error {
    let error = Error::gate(format!(
        "nobody says whose signature on {} counts",
        place.index
    ));
    let offered = offered(session, place).ok().flatten();
    let read = |(_, bytes): (Url, Vec<u8>)| Keyring::read(&bytes, None).ok();
    match offered.and_then(read) {
        Some(keyring) => {
            let keys = keyring.fingerprints.join(" and ");
            error
                .cause(format!("it offers the key {keys}, as anybody could"))
                .hint(format!(
                    "if its owner says the same: --fingerprint {}, once, or `fingerprint:` in imgforge.yaml",
                    keyring.fingerprints.first().map_or("FP", String::as_str)
                ))
        }
        None => error
            .hint("name the file of its public key, once: --key FILE, or `key:` in imgforge.yaml"),
    }
}

/// A full fingerprint, as gpg prints it, without blanks.
fn normal_fingerprint(text: &str) -> Result<String> {
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && matches!(digits.len(), 40 | 64) {
        return Ok(digits);
    }
    Err(Error::usage(format!("`{text}` is not a fingerprint"))
        .cause("a fingerprint has 40 hex digits; fewer can be forged")
        .hint("`gpg --list-keys --fingerprint` shows it"))
}

fn memory_dir(session: &Session<'_>, place: &Place) -> PathBuf {
    let id = Key::of(place.base.to_string().as_bytes());
    session.store.state().join("repositories").join(id.short())
}

fn read_memory(dir: &Path) -> Memory {
    let bytes = std::fs::read(dir.join("memory.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Changes the memory under a lock; an error of `change` leaves it as it was.
fn update(dir: &Path, change: impl FnOnce(&mut Memory) -> Result<()>) -> Result<()> {
    let doing = || format!("writing {}", dir.display());
    std::fs::create_dir_all(dir).doing(doing)?;
    let lock = File::create(dir.join("lock")).doing(doing)?;
    lock.lock().doing(doing)?;
    let mut memory = read_memory(dir);
    change(&mut memory)?;
    let text = serde_json::to_vec_pretty(&memory).unwrap_or_default();
    write_atomic(&dir.join("memory.json"), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_fingerprints_are_taken() {
        let digits = "0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567";
        assert_eq!(
            normal_fingerprint(digits).unwrap(),
            "0123456789ABCDEF0123456789ABCDEF01234567"
        );
        for bad in [
            "",
            "0123456789ABCDEF",
            "x123456789ABCDEF0123456789ABCDEF01234567",
        ] {
            let error = normal_fingerprint(bad).unwrap_err();
            assert!(error.render().contains("40 hex digits"), "{bad}");
        }
    }
}
