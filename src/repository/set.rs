//! One signature over all of a repository, `.imgforge/state.sjson`, made anew by every transaction:
//! which channels and images there are, and what is the newest of each. An older index or list has a
//! good signature, too, and what is missing has none; among what this names, neither counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::seen::number;
use super::state::{Channel, Image, State};
use super::verify::{Signed, SignedClaims};
use super::{below, check_name};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, verify};
use crate::index::{self, Claims, IndexEntry};

/// Where it is, below the root.
pub(super) const PATH: &str = ".imgforge/state.sjson";

/// `.imgforge/state.sjson`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Set {
    version: u32,
    repository: String,
    /// Where clients find it, but for a directory of one host; an older imgforge did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// One more in each transaction.
    pub(super) serial: u64,
    signed: Timestamp,
    channels: BTreeMap<String, Member>,
    /// The digest of each published image's record.
    images: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    #[serde(flatten)]
    channel: Channel,
    /// The digest of its index, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<String>,
}

impl Set {
    /// Reads that of a repository in `root`, if it has one; and what was signed.
    ///
    /// # Errors
    /// When it cannot be read, or is not to be trusted.
    pub(super) fn read(
        state: &State,
        root: &Path,
        keyring: &Keyring,
    ) -> Result<Option<(Self, Signed)>> {
        let Some(bytes) = below::read(root, PATH)? else {
            return Ok(None);
        };
        let read = || {
            let verified = verify(&bytes, keyring)?;
            let set: Set = serde_json::from_str(&verified.text)
                .map_err(|cause| Error::gate("it is not what imgforge writes").cause(cause))?;
            if set.repository != state.id {
                return Err(Error::gate("it is of another repository"));
            }
            if set.version != 1 {
                return Err(Error::usage("it was written by a newer imgforge"));
            }
            Ok((set, verified))
        };
        let (set, verified) = read().map_err(|error| untrusted(state, error))?;
        let claims = SignedClaims {
            valid_until: None,
            when: verified.when,
            repository: Some(set.repository.clone()),
            text: verified.text,
            bytes,
        };
        let signed = Signed {
            channel: None,
            image: None,
            path: PATH.into(),
            result: Ok(claims),
        };
        Ok(Some((set, signed)))
    }

    /// That of the transaction `serial`.
    pub(super) fn of(serial: u64, state: &State, indexes: &Digests, when: Timestamp) -> Self {
        let member = |(name, channel): (&String, &Channel)| {
            let (channel, index) = (channel.clone(), indexes.get(name).cloned());
            (name.clone(), Member { channel, index })
        };
        let images = state.images.values().filter(|image| image.is_listed());
        Set {
            version: 1,
            repository: state.id.clone(),
            url: Some(state.url.clone()).filter(|url| !url.starts_with("file:")),
            serial,
            signed: when,
            channels: state.channels.iter().map(member).collect(),
            images: images
                .map(|image| (image.name.clone(), of_record(image)))
                .collect(),
        }
    }

    /// What is not as it was signed: of the indexes, that are right by themselves, and the records.
    pub(super) fn differences(&self, state: &State, indexes: &Digests) -> Vec<String> {
        let mut found = Vec::new();
        let nothing = Channel::default();
        let channels = self.channels.keys().chain(state.channels.keys());
        for name in channels.chain(indexes.keys()).collect::<BTreeSet<_>>() {
            let ours = self.channels.get(name);
            let theirs = state.channels.get(name);
            let wanted = ours.map_or(&nothing, |one| &one.channel);
            let same = |one: &Channel| one.frozen == wanted.frozen && one.log == wanted.log;
            if !theirs.map_or(ours.is_none(), same) {
                found.push(format!(
                    "channels.json contradicts the index of the channel `{name}`, as whether it is \
                     frozen"
                ));
            }
            let path = state.index_path(name);
            match (ours.and_then(|one| one.index.as_ref()), indexes.get(name)) {
                (Some(_), None) => found.push(format!("{path} is not there")),
                (None, Some(_)) => {
                    found.push(format!(
                        "{path} is there, and no such index was signed last"
                    ));
                }
                (wanted, found_one) if wanted != found_one => {
                    found.push(format!("{path} is not the one that was signed last"));
                }
                _ => {}
            }
        }
        let names = self.images.keys().chain(state.images.keys());
        let names = names.collect::<BTreeSet<_>>();
        found.extend(names.iter().filter_map(|name| self.difference(state, name)));
        found
    }

    /// How the record of an image is not as it was signed.
    fn difference(&self, state: &State, name: &str) -> Option<String> {
        let image = state.images.get(name).filter(|image| image.is_listed());
        match (self.images.get(name), image) {
            (Some(_), None) => Some(format!("the record of `{name}` is not there")),
            (None, Some(_)) => Some(format!("`{name}` was not there")),
            (Some(wanted), Some(image)) if *wanted != of_record(image) => Some(format!(
                "the record of `{name}` is not the one that was signed last"
            )),
            _ => None,
        }
    }
}

/// Of which repository such a text is.
pub(super) fn repository(text: &str) -> Option<String> {
    Some(serde_json::from_str::<Set>(text).ok()?.repository)
}

/// Digests of the indexes, by channel.
pub(super) type Digests = BTreeMap<String, String>;

/// The digests of indexes that were verified.
pub(super) fn digests(indexes: &[Signed]) -> Digests {
    let one = |signed: &Signed| {
        let claims = signed.result.as_ref().ok()?;
        Some((signed.channel.clone()?, of_index(&claims.text)))
    };
    indexes.iter().filter_map(one).collect()
}

/// The SHA-512 of what imgforge has written of an index, in hex: until when it counts tells it from
/// every other one. An operator may add aliases and entries of others to it, and sign it again.
pub(super) fn of_index(text: &str) -> String {
    let entries = index::parse(text).and_then(|sections| index::check(&sections));
    let line = |entry: &IndexEntry| {
        let sha512 = entry.sha512.as_deref().unwrap_or_default();
        let (id, arch, number, file) = (&entry.id, &entry.arch, entry.revision, &entry.file);
        format!("{id} {arch} {number} {sha512} {file}\n")
    };
    let said = match &entries {
        Ok(entries) => entries
            .iter()
            .filter(|entry| is_ours(entry))
            .map(line)
            .collect(),
        Err(_) => BTreeSet::from([text.to_owned()]),
    };
    let said = said.into_iter().collect::<String>();
    hex::encode(Sha512::digest(format!("{}{said}", Claims::parse(text))))
}

/// Whether imgforge has written an entry.
pub(super) fn is_ours(entry: &IndexEntry) -> bool {
    entry.other.iter().any(|(key, _)| key == "imgforge_version")
}

/// The SHA-512 of a record, in hex; a revision that is only bound is written down before anything is
/// signed.
fn of_record(image: &Image) -> String {
    let mut image = image.clone();
    image.revisions.retain(|_, one| !one.pending);
    let text = serde_json::to_string(&image).unwrap_or_default();
    hex::encode(Sha512::digest(text))
}

/// The first of these texts that says there is a set, where none is.
pub(super) fn missed(signed: &[Signed]) -> Option<String> {
    let claims = |one: &&Signed| {
        let claims = one.result.as_ref();
        claims.is_ok_and(|claims| number(&claims.text).is_some())
    };
    let path = &signed.iter().find(claims)?.path;
    Some(format!("{PATH} is not there, and {path} says that it is"))
}

/// The indexes of channels that the records do not name.
///
/// # Errors
/// When the directory cannot be read, or a link leads there.
pub(super) fn unnamed(state: &State) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in below::names(&state.root, "channels")? {
        let path = format!("channels/{name}/index.asc");
        let known = state.channels.contains_key(&name) && state.index_path(&name) == path;
        if known || check_name("channel", &name).is_err() {
            continue;
        }
        match below::open(&state.root, Path::new(&path)) {
            Err(cause)
                if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&cause.kind()) => {}
            _ => found.push(format!(
                "{path} is there, and channels.json has no such channel"
            )),
        }
    }
    Ok(found)
}

/// What was signed as a whole, if an image, whose list is `signed`, is in it as it is here.
///
/// # Errors
/// When it is not, or cannot be read.
pub(super) fn with_image(
    state: &State,
    name: &str,
    signed: &[Signed],
    keyring: &Keyring,
) -> Result<Option<Signed>> {
    let (set, whole) = Set::read(state, &state.root, keyring)?.unzip();
    let difference = match set {
        Some(set) => set.difference(state, name),
        None => missed(signed),
    };
    refuse(state, difference.into_iter().collect())?;
    Ok(whole)
}

/// Refuses what differs from the set.
pub(super) fn refuse(state: &State, differences: Vec<String>) -> Result<()> {
    let mut differences = differences.into_iter();
    match differences.next() {
        Some(first) => Err(untrusted(state, Error::gate(first).evidence(differences))),
        None => Ok(()),
    }
}

fn untrusted(state: &State, error: Error) -> Error {
    let path = state.root.join(PATH);
    error
        .within(format!(
            "{} and what it names are not to be trusted",
            path.display()
        ))
        .cause("an older or another file was put in its place, or an older imgforge has published here")
        .hint(
            "find out who changed it, and restore all of the newest state from a backup or a copy; \
             `imgforge repo verify` shows what else is wrong",
        )
}
