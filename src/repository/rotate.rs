//! Another signing key, without a day on which clients fail.
//!
//! Clients accept one signature by the one key that they have. So while they change over, every
//! index lies under two URLs, `index.asc` with the old key's signature and `index-SUFFIX.asc` with
//! the new one's. At the end the first URL changes to the new key; the second stays for those who
//! went there.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::state::Stamp;
use super::transaction::Transaction;
use super::views::ViewFile;
use super::{Repository, State, below, check_name, files};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, fingerprints_of, verify};
use crate::index::Claims;

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
        let keys = files::read_json::<Keys>(&self.root, ".imgforge/keys.json")?;
        Ok(keys.unwrap_or_else(|| Keys {
            version: 1,
            main: self.fingerprint.clone(),
            ..Keys::default()
        }))
    }

    /// Refuses another key that nobody has signed with here: what says so is not signed.
    pub(super) fn vouch_keys(&self, keys: &Keys, state: &State) -> Result<()> {
        for second in &keys.seconds {
            check_name("file", &second.suffix)?;
            if second.fingerprint == keys.main {
                continue;
            }
            let mut channels = state.channels.keys();
            let first = channels.find_map(|channel| {
                let path = state.index_path(channel);
                let signed = below::read(&self.root, &path).transpose()?;
                Some(signed.map(|_| (channel, path)))
            });
            let first = first.transpose()?;
            let first = first.and_then(|(channel, path)| {
                second_path(&path, &second.suffix).map(|path| (channel, path))
            });
            let Some((channel, path)) = first else {
                let keys = self.private("keys.json");
                return Err(Error::gate(format!(
                    "{} names the key {}, and no index is here that it has signed",
                    keys.display(),
                    second.fingerprint
                ))
                .hint("restore the indexes from a backup or a copy of the repository"));
            };
            let signer = self.signer.with_key(&second.fingerprint, second.own);
            let keyring = Keyring::read(&signer.public_key()?, None)?;
            let signed = below::read(&self.root, &path)?.unwrap_or_default();
            let verified = verify(&signed, &keyring).and_then(|verified| {
                // Else any text that the key has ever signed would do.
                let claims = Claims::parse(&verified.text);
                let of_this = claims.channel.as_ref() == Some(channel)
                    && claims.default == (*channel == state.default_channel);
                match of_this {
                    true => Ok(()),
                    false => Err(Error::gate(format!("it is no index of `{channel}`"))),
                }
            });
            verified.map_err(|error| {
                let keys = self.private("keys.json");
                error
                    .within(format!(
                        "{} names the key {}, which has not signed {path}",
                        keys.display(),
                        second.fingerprint
                    ))
                    .hint("restore both from a backup or a copy of the repository")
            })?;
        }
        Ok(())
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
        transaction.all = true;
        if transaction.state.channels.is_empty() {
            return Err(Error::usage(
                "nothing is published here yet, so no reader has to change keys",
            )
            .hint("name the new key as `signing-key:` in imgforge.yaml"));
        }
        let keys = &mut transaction.keys;
        let signer = self.signer.successor(key)?;
        let public = signer.public_key()?;
        let fingerprint = fingerprints_of(&public)?.join(" ");
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
            let published = image.published().map(|(_, revision)| revision);
            for revision in published.filter(|one| one.removed.is_none()) {
                let beside = revision.companions.values().filter(|file| file.signed);
                signed.extend(beside.map(|file| (file.path.clone(), file.sha512.clone())));
            }
        }
        signed.sort();
        signed.dedup();
        for (path, sha512) in signed {
            let bytes = below::read(&self.repository.root, &path)?.unwrap_or_default();
            if hex::encode(Sha512::digest(&bytes)) != sha512 {
                return Err(Error::gate(format!("{path} is not what was published"))
                    .hint("`imgforge repo verify` shows what else is damaged"));
            }
            self.files.push(ViewFile::new(path, bytes).detached());
        }
        Ok(())
    }
}

/// The path of what clients verify, an index or a list of revisions, under its second URL.
pub(super) fn second_path(path: &str, suffix: &str) -> Option<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let second = match file {
        "index.asc" => format!("index-{suffix}.asc"),
        "revisions.sjson" => format!("revisions-{suffix}.sjson"),
        _ => return None,
    };
    Some(match dir {
        "" => second,
        dir => format!("{dir}/{second}"),
    })
}
