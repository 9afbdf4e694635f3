//! What is signed of a repository on this host, verified: before anything is made of it, it is
//! copied, or reported about.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::KEY_FILE;
use crate::error::{Error, Kind, Result};
use crate::gpg::{Keyring, Signers, Verified, verify_all};
use crate::index::Claims;
use crate::repository::fresh::{Age, refuse_old};
use crate::repository::seen::RememberedRepository;
use crate::repository::state::Image;
use crate::repository::views::revisions::{self, RevisionList};
use crate::repository::{State, below, check_name, set};

/// The index of a channel, or the list of an image's revisions.
#[derive(Debug)]
pub struct Signed {
    /// The channel; none of a list.
    pub channel: Option<String>,
    /// The image; none of an index.
    pub image: Option<String>,
    /// The path below the root.
    pub path: String,
    /// What it says of itself; else why it does not count.
    pub result: Result<SignedClaims>,
}

/// What a verified text says of itself.
#[derive(Debug)]
pub struct SignedClaims {
    /// Until when it counts, if it says so.
    pub valid_until: Option<Timestamp>,
    /// When it was signed.
    pub when: Timestamp,
    /// The repository that it names.
    pub repository: Option<String>,
    /// What the signature covers.
    pub(in crate::repository) text: String,
    /// The file.
    pub(in crate::repository) bytes: Vec<u8>,
}

/// Verifies the index of each channel that has one with the keys of `signers`, or else with the
/// repository's own.
///
/// # Errors
/// When the keys cannot be had, or a file cannot be read.
pub fn indexes(state: &State, signers: &Signers) -> Result<Vec<Signed>> {
    let there = there(state)?;
    match there.is_empty() {
        true => Ok(vec![]),
        false => read_indexes(state, there, &keyring(state, signers)?),
    }
}

/// As [`indexes`], with certain keys.
pub(in crate::repository) fn all_indexes(state: &State, keyring: &Keyring) -> Result<Vec<Signed>> {
    read_indexes(state, there(state)?, keyring)
}

/// An index that is there: its channel, its path and the file.
pub(super) type Index = (String, String, Vec<u8>);

pub(super) fn there(state: &State) -> Result<Vec<Index>> {
    let mut there = Vec::new();
    for channel in state.channels.keys() {
        let path = state.index_path(channel);
        if let Some(bytes) = below::read(&state.root, &path)? {
            there.push((channel.clone(), path, bytes));
        }
    }
    Ok(there)
}

pub(super) fn read_indexes(
    state: &State,
    there: Vec<Index>,
    keyring: &Keyring,
) -> Result<Vec<Signed>> {
    let texts: Vec<&[u8]> = there.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    let verified = verify_all(&texts, keyring)?;
    let judge = |channel: &str, verified: Verified, bytes: Vec<u8>| {
        let claims = Claims::parse(&verified.text);
        let wanted = Some(channel).filter(|channel| *channel != state.default_channel);
        if let Some(other) = claims.other_channel(wanted, Some(&state.default_channel)) {
            return Err(Error::gate(format!("it is the index of `{other}`")));
        }
        let repository = claims.owner.map(|owner| owner.repository);
        if repository.as_ref().is_some_and(|id| *id != state.id) {
            return Err(Error::gate("it is the index of another repository"));
        }
        Ok(SignedClaims {
            valid_until: claims.valid_until,
            when: verified.when,
            repository,
            text: verified.text,
            bytes,
        })
    };
    let all = there.into_iter().zip(verified);
    Ok(all
        .map(|((channel, path, bytes), verified)| Signed {
            result: verified.and_then(|verified| judge(&channel, verified, bytes)),
            channel: Some(channel),
            image: None,
            path,
        })
        .collect())
}

/// Verifies the list of revisions of each image as [`indexes`] does the indexes, and that the
/// image's record says the same: where it lies, others may write, too.
///
/// # Errors
/// When the keys cannot be had, or a file cannot be read.
pub fn lists(state: &State, signers: &Signers) -> Result<Vec<Signed>> {
    let names = listed(state)?;
    match names.is_empty() {
        true => Ok(vec![]),
        false => read_lists(state, &names, &keyring(state, signers)?),
    }
}

/// Refuses the record of an image that does not say what was signed, or whose list is older than `age` allows.
///
/// # Errors
/// When the signed list of its revisions is not to be trusted, says something else, has expired, or
/// is older than what this host has seen, or than what was signed last as a whole.
pub fn record(
    state: &State,
    signers: &Signers,
    name: &str,
    (seen, age): (Option<&RememberedRepository>, Age),
) -> Result<()> {
    let names = BTreeSet::from([name.to_owned()]);
    let keyring = keyring(state, signers)?;
    let lists = read_lists(state, &names, &keyring)?;
    let mut signed = refuse_wrong(state, lists)?;
    signed.extend(set::with_image(state, name, &signed, &keyring)?);
    refuse_old(&state.root, signed.iter(), seen, age)
}

/// As [`record`], for all images and with certain keys.
pub(in crate::repository) fn records(state: &State, keyring: &Keyring) -> Result<Vec<Signed>> {
    let names = listed(state)?;
    match names.is_empty() {
        true => Ok(vec![]),
        false => refuse_wrong(state, read_lists(state, &names, keyring)?),
    }
}

/// Refuses what is not right.
///
/// # Errors
/// When one of them is not.
pub(in crate::repository) fn refuse_wrong(
    state: &State,
    mut signed: Vec<Signed>,
) -> Result<Vec<Signed>> {
    let wrong = signed.iter().position(|one| one.result.is_err());
    match wrong.map(|at| signed.swap_remove(at)) {
        Some(list) => list.result.map(|_| vec![]).map_err(|error| {
            error
                .within(format!(
                    "{} is not to be trusted",
                    state.root.join(&list.path).display()
                ))
                .hint(
                    "find out who changed it, and restore it and the record from a backup or a \
                     copy; `imgforge repo verify` shows what else is wrong",
                )
        }),
        None => Ok(signed),
    }
}

/// The names of the images that were ever published, as their records or lists say: a list of
/// which there is no record tells that somebody has removed it.
pub(super) fn listed(state: &State) -> Result<BTreeSet<String>> {
    let records = state.images.values().filter(|image| image.is_listed());
    let mut names: BTreeSet<String> = records.map(|image| image.name.clone()).collect();
    let has_list = |name: &String| {
        let list = state.root.join(revisions::path(name));
        check_name("image", name).is_ok() && list.exists()
    };
    let there = below::names(&state.root, "images")?;
    names.extend(there.into_iter().filter(has_list));
    Ok(names)
}

/// The lists of these images, but of those that never had one.
pub(super) fn read_lists(
    state: &State,
    names: &BTreeSet<String>,
    keyring: &Keyring,
) -> Result<Vec<Signed>> {
    let mut there = Vec::new();
    for name in names {
        let (image, path) = (state.images.get(name), revisions::path(name));
        let bytes = match below::read(&state.root, &path) {
            // What is no file of its own is wrong, and the others may be right.
            Err(error) if error.kind() == Kind::Gate => Err(error),
            bytes => Ok(bytes?),
        };
        if !matches!(bytes, Ok(None)) || image.is_some_and(Image::is_listed) {
            there.push((name, image, bytes, path));
        }
    }
    let texts = there.iter().map(|(_, _, bytes, _)| match bytes {
        Ok(Some(bytes)) => bytes.as_slice(),
        _ => &[],
    });
    let texts: Vec<&[u8]> = texts.collect();
    let verified = verify_all(&texts, keyring)?;
    let judge = |name: &str, image: Option<&Image>, verified: Verified, bytes: Vec<u8>| {
        let list = RevisionList::parse(&verified.text)?;
        let image = image.ok_or_else(|| {
            Error::gate(format!(
                "it is there, and .imgforge/names/{name}.json is not"
            ))
        })?;
        if list.repository.as_ref().is_some_and(|id| *id != state.id) {
            return Err(Error::gate("it is the list of another repository"));
        }
        if !list.agrees(&state.id, image) {
            return Err(Error::gate(format!(
                "the record of `{name}` says something else"
            )));
        }
        Ok(SignedClaims {
            valid_until: list.valid_until(),
            when: verified.when,
            repository: list.repository,
            text: verified.text,
            bytes,
        })
    };
    let all = there.into_iter().zip(verified);
    Ok(all
        .map(|((name, image, bytes, path), verified)| Signed {
            result: match bytes {
                Ok(Some(bytes)) => {
                    verified.and_then(|verified| judge(name, image, verified, bytes))
                }
                Ok(None) => Err(Error::gate("it is not there")),
                Err(error) => Err(error),
            },
            channel: None,
            image: Some(name.clone()),
            path,
        })
        .collect())
}

/// The keys that count.
fn keyring(state: &State, signers: &Signers) -> Result<Keyring> {
    signers.keyring(below::read(&state.root, KEY_FILE)?.as_deref())
}
