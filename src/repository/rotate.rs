//! Another signing key, without a day on which clients fail.
//!
//! Clients accept one signature by the one key that they have. So while they change over, every
//! index lies under two URLs, `index.asc` with the old key's signature and `index-SUFFIX.asc` with
//! the new one's. At the end the first URL changes to the new key; the second stays for those who
//! went there, until the next one begins to count.
//!
//! Which keys sign, every index says, signed by the main one.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::fresh::Age;
use super::state::Stamp;
use super::transaction::Transaction;
use super::views::ViewFile;
use super::vouched::VerifiedState;
use super::{Repository, below, check_name, files};
use crate::error::{Error, Result};
use crate::gpg::fingerprints_of;
use crate::index::Owner;

/// `.imgforge/keys.json`, for older imgforges: what counts is what the indexes say.
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
    /// No signed index says so: an older imgforge wrote it down.
    #[serde(skip)]
    pub(super) hearsay: bool,
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
    /// Why that key cannot sign here now.
    #[serde(skip)]
    pub(super) resting: Option<String>,
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

impl Keys {
    /// What the indexes say, with what only imgforge's own host knows.
    pub(super) fn said_by(self, owner: &Owner) -> Keys {
        let own = |key: &str| {
            self.seconds
                .iter()
                .any(|one| one.own && one.fingerprint == key)
        };
        let second = |(suffix, fingerprint): &(String, String)| Second {
            suffix: suffix.clone(),
            own: own(fingerprint),
            fingerprint: fingerprint.clone(),
            resting: None,
        };
        Keys {
            version: 1,
            main: owner.key.clone(),
            seconds: owner.seconds.iter().map(second).collect(),
            retired: owner.retired.clone(),
            hearsay: false,
        }
    }

    /// The second key that will be the main one.
    fn coming(&self) -> Option<&Second> {
        let mut seconds = self.seconds.iter();
        seconds.rfind(|second| second.fingerprint != self.main)
    }

    /// Refuses a rotation that nobody has signed.
    pub(super) fn refuse_hearsay(&self) -> Result<()> {
        let Some(second) = self.coming().filter(|_| self.hearsay) else {
            return Ok(());
        };
        let Second {
            suffix,
            fingerprint,
            ..
        } = second;
        Err(Error::gate(format!(
            "a rotation to the key {fingerprint} was begun here, and no index that {} has signed \
             says so",
            self.main
        ))
        .cause("an older imgforge began it, or somebody wrote that to .imgforge/keys.json")
        .hint(format!(
            "if you began it, `imgforge repo rotate-key {fingerprint} --suffix {suffix}` resumes \
             it; else `imgforge repo rotate-key --cancel`"
        )))
    }
}

impl Repository {
    /// What `.imgforge/keys.json` says, which nobody has signed.
    pub(super) fn written_keys(&self) -> Result<Option<Keys>> {
        files::read_json(&self.root, ".imgforge/keys.json")
    }

    /// The keys that sign, as the signed indexes say.
    pub(super) fn keys(&self, state: &VerifiedState) -> Result<Keys> {
        let mut keys = match state.owner() {
            Some(owner) => Keys {
                version: 1,
                main: owner.key.clone(),
                retired: owner.retired.clone(),
                seconds: vec![],
                hearsay: false,
            },
            None => {
                let mut keys = self.written_keys()?.unwrap_or_else(|| Keys {
                    version: 1,
                    main: self.fingerprint.clone(),
                    ..Keys::default()
                });
                keys.hearsay = true;
                // Whoever signs is not retired, whatever somebody wrote there.
                let main = keys.main.clone();
                keys.retired.retain(|key| *key != main);
                keys
            }
        };
        for (suffix, fingerprint) in state.owner().into_iter().flat_map(|owner| &owner.seconds) {
            keys.seconds.push(Second {
                suffix: suffix.clone(),
                fingerprint: fingerprint.clone(),
                own: self.signer.own_with(fingerprint)?.is_some(),
                resting: None,
            });
        }
        for second in &mut keys.seconds {
            check_name("file", &second.suffix)?;
            if second.fingerprint != keys.main {
                let signer = self.signer.with_key(&second.fingerprint, second.own);
                second.resting = signer.cannot_sign()?;
            }
        }
        Ok(keys)
    }

    /// Begins a rotation to `key`, anything that gpg knows, or to a new key of imgforge's own:
    /// every index lies under a second URL, too, signed by it. Of one that an older imgforge began,
    /// its key and suffix confirm it.
    ///
    /// # Errors
    /// When there is no such key, it signs already, or another rotation is not finished.
    pub fn rotate(&self, key: Option<&str>, suffix: &str, stamp: &Stamp) -> Result<Rotation> {
        check_name("file", suffix)?;
        let held = self.lock()?;
        let mut transaction =
            Transaction::begin_rotation(self, &held, stamp.clone(), Age::Current)?;
        let keys = &mut transaction.keys;
        if let Some(second) = keys.coming().cloned() {
            let confirmed = key.is_some_and(|key| key.eq_ignore_ascii_case(&second.fingerprint));
            if keys.hearsay && confirmed && second.suffix == suffix {
                let from = keys.main.clone();
                let rotation = self.rotation(keys, from, second.fingerprint, false);
                transaction.resign()?;
                transaction.commit()?;
                return Ok(rotation);
            }
            keys.refuse_hearsay()?;
            return Err(Error::usage(format!(
                "the rotation to {} is not finished",
                second.fingerprint
            ))
            .hint("`imgforge repo rotate-key --finish` ends it, and `--cancel` cancels it"));
        }
        if keys.seconds.iter().any(|second| second.suffix == suffix) {
            return Err(
                Error::usage(format!("there is an index-{suffix}.asc already"))
                    .hint("name another suffix with --suffix"),
            );
        }
        // What is refused makes no key.
        if transaction.state.channels.is_empty() || !transaction.state.has_index() {
            return Err(Error::usage(
                "nothing is published here yet, so no reader has to change keys",
            )
            .hint("name the new key as `signing-key:` in imgforge.yaml"));
        }
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
            resting: None,
        });
        let from = keys.main.clone();
        transaction.files.push(ViewFile::new(&file, public));
        let rotation = self.rotation(&transaction.keys, from, to, false);
        transaction.resign()?;
        transaction.commit()?;
        Ok(rotation)
    }

    /// Ends a rotation: everything is signed by the new key, in one transaction. What other keys
    /// signed under URLs of their own goes.
    ///
    /// # Errors
    /// When no rotation was begun, or the new key cannot sign.
    pub fn finish_rotation(&self, stamp: &Stamp) -> Result<Rotation> {
        let held = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        let keys = &mut transaction.keys;
        let from = keys.main.clone();
        let second = keys.coming().cloned().ok_or_else(none_begun)?;
        if let Some(why) = second.resting {
            return Err(Error::usage(format!("the new key cannot sign: {why}"))
                .hint("`imgforge repo rotate-key --cancel` cancels the rotation"));
        }
        let signer = self.signer.with_key(&second.fingerprint, second.own);
        let to = second.fingerprint;
        let public = signer.public_key()?;
        keys.main.clone_from(&to);
        keys.retired.push(from.clone());
        transaction.signer = signer;
        transaction.fingerprint.clone_from(&to);
        transaction.drop_seconds(|one| one.fingerprint != to);
        transaction
            .files
            .push(ViewFile::new("imgforge.gpg", public));
        let rotation = self.rotation(&transaction.keys, from, to, true);
        let retired = transaction.keys.retired.iter().cloned().collect();
        transaction.resign()?;
        transaction.commit()?;
        if let Some(seen) = &self.seen {
            seen.retire(retired, false)?;
        }
        Ok(rotation)
    }

    /// Takes a rotation back: what the new key has signed goes. That key need not be there.
    ///
    /// # Errors
    /// When no rotation was begun.
    pub fn cancel_rotation(&self, stamp: &Stamp) -> Result<Rotation> {
        let held = self.lock()?;
        let mut transaction =
            Transaction::begin_rotation(self, &held, stamp.clone(), Age::Current)?;
        let keys = &transaction.keys;
        let (main, second) = (keys.main.clone(), keys.coming().cloned());
        let second = second.ok_or_else(none_begun)?;
        let rotation = self.rotation(keys, main.clone(), second.fingerprint, false);
        transaction.drop_seconds(|one| one.fingerprint != main);
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

fn none_begun() -> Error {
    Error::usage("no rotation was begun").hint("`imgforge repo rotate-key` begins one")
}

impl Transaction<'_> {
    /// Lets second URLs go, with the files there.
    pub(super) fn drop_seconds(&mut self, goes: impl Fn(&Second) -> bool) {
        let seconds = std::mem::take(&mut self.keys.seconds);
        let (gone, kept): (Vec<_>, Vec<_>) = seconds.into_iter().partition(|one| goes(one));
        for Second { suffix, .. } in gone {
            if kept.iter().any(|second| second.suffix == suffix) {
                continue;
            }
            let key = format!("imgforge-{suffix}.gpg");
            let all = self.under_second(&suffix).into_iter().chain([key]);
            let there = all.filter(|path| self.repository.root.join(path).exists());
            self.files.extend(there.map(ViewFile::remove));
        }
        self.keys.seconds = kept;
    }

    /// The indexes and lists under a second URL that are there.
    fn under_second(&self, suffix: &str) -> Vec<String> {
        let dated = super::renew::dated(&self.state);
        let paths = dated.filter_map(|path| second_path(&path, suffix));
        let there = |path: &String| self.repository.root.join(path).exists();
        paths.filter(there).collect()
    }

    /// Takes away the indexes and lists under second URLs whose keys cannot sign them now: what is
    /// yanked would stay in them.
    pub(super) fn withdraw_resting(&mut self) {
        let seconds = self.keys.seconds.iter();
        let resting = seconds.filter(|one| one.resting.is_some());
        for suffix in resting.map(|one| one.suffix.clone()).collect::<Vec<_>>() {
            let gone = self.under_second(&suffix);
            if !gone.is_empty() {
                self.repository.ui.warning(format!(
                    "index-{suffix}.asc is removed, as it would still list what is yanked: its \
                     readers find nothing until its key can sign"
                ));
            }
            self.files.extend(gone.into_iter().map(ViewFile::remove));
        }
    }

    /// Signs everything again: what is derived from the state, the indexes, and the files beside
    /// blobs.
    pub(super) fn resign(&mut self) -> Result<()> {
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
