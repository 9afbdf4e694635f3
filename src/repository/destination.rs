//! The directory that gets a copy: what of it may be replaced, and what goes.

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;

use super::fresh::PATIENCE;
use super::identity::{self, Identity};
use super::manifest::revision_dir;
use super::renew::text_of;
use super::replica::{Files, KEY_FILE, Replica};
use super::seen::is_to_come;
use super::served::{self, Names};
use super::set::Set;
use super::state::State;
use super::verify::Signed;
use super::{below, journal, set};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Verified, verify_all};
use crate::index::Claims;

/// A copy never replaces another repository.
///
/// # Errors
/// When it would.
pub(super) fn refuse_other(to: &Path, ours: &str) -> Result<()> {
    let theirs = match Identity::read(to)? {
        Some(theirs) => Some(theirs.id),
        // What only was served has none, and its indexes say which it is.
        None => {
            let mut claims = indexes(to)?.into_iter();
            claims.find_map(|text| Some(Claims::parse(&text_of(&text)).owner?.repository))
        }
    };
    match theirs {
        Some(theirs) if theirs != ours => Err(Error::usage(format!(
            "{} is another repository",
            to.display()
        ))
        .hint("name an empty directory, or an older copy of this repository")),
        _ => Ok(()),
    }
}

/// Neither nothing nor an older state replaces a newer one. `first`: the key that signs counts only
/// because it lies there.
///
/// # Errors
/// When it would.
pub(super) fn refuse_newer(from: &Path, to: &Path, replica: &Replica, first: bool) -> Result<()> {
    let keyring = keyring_of(from, to, replica, first)?;
    let serial = match Set::read(&replica.state, to, &keyring) {
        Ok(Some((set, _))) => Some(set.serial),
        // Who has none has not signed anything as a whole yet.
        Ok(None) => Some(0),
        // One that is damaged, or signed by another key, is replaced.
        Err(_) => None,
    };
    let ours = replica.state.serial();
    let claims = claims(to, &keyring)?.into_iter();
    let claims = claims.filter(|one| owner_is(one, &replica.state.id));
    let last = claims.filter_map(|one| one.state).max();
    let last = last.max(serial.filter(|serial| *serial > 0));
    if ours < last {
        return Err(overtaken(from, to, (ours, last)));
    }
    let follows = serial.is_some() && ours > serial;
    let theirs = beside(to, replica.state.signed(), &keyring)?;
    refuse_older(from, to, &theirs, follows)?;
    for second in &replica.seconds {
        let theirs = beside(to, &second.signed, &second.keyring)?;
        refuse_older(from, to, &theirs, follows)?;
    }
    Ok(())
}

/// The indexes in a directory, whatever its records say.
fn indexes(to: &Path) -> Result<Vec<Vec<u8>>> {
    let paths = identity::telling(to)?.into_iter();
    let paths = paths.filter(|path| path != set::PATH);
    // A link, or what else is no file, is replaced.
    Ok(paths
        .filter_map(|path| below::read(to, &path).ok().flatten())
        .collect())
}

/// What the indexes in a directory say of themselves that these keys have signed.
fn claims(to: &Path, keyring: &Keyring) -> Result<Vec<Claims>> {
    let indexes = indexes(to)?;
    let texts: Vec<&[u8]> = indexes.iter().map(Vec::as_slice).collect();
    let verified = verify_all(&texts, keyring)?;
    let right = verified.into_iter().flatten();
    Ok(right.map(|one| Claims::parse(&one.text)).collect())
}

fn owner_is(claims: &Claims, repository: &str) -> bool {
    let owner = claims.owner.as_ref();
    owner.is_some_and(|owner| owner.repository == repository)
}

/// A text of the copy, and when that was signed which is to replace it.
struct Counterpart<'a> {
    path: &'a str,
    when: Timestamp,
    theirs: Result<Verified>,
}

/// What the copy has in the place of these.
fn beside<'a>(to: &Path, signed: &'a [Signed], keyring: &Keyring) -> Result<Vec<Counterpart<'a>>> {
    let mut there = Vec::new();
    for signed in signed {
        if let (Ok(claims), Ok(Some(bytes))) = (&signed.result, below::read(to, &signed.path)) {
            there.push((signed.path.as_str(), claims.when, bytes));
        }
    }
    let texts: Vec<&[u8]> = there.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    let theirs = verify_all(&texts, keyring)?;
    let all = there.into_iter().zip(theirs);
    let all = all.map(|((path, when, _), theirs)| Counterpart { path, when, theirs });
    Ok(all.collect())
}

fn refuse_older(from: &Path, to: &Path, all: &[Counterpart<'_>], follows: bool) -> Result<()> {
    for Counterpart { path, when, theirs } in all {
        // What is damaged, signed by an older key or at no time that can be, is replaced.
        let Ok(theirs) = theirs else { continue };
        let wrong_clock = || follows && was_to_come(to, path, theirs.when);
        if theirs.when > *when && !is_to_come(theirs.when) && !wrong_clock() {
            return Err(older(&from.join(path), *when, &to.join(path), theirs.when));
        }
    }
    Ok(())
}

/// The copy is of a later transaction, or of one at all.
fn overtaken(from: &Path, to: &Path, (ours, theirs): (Option<u64>, Option<u64>)) -> Error {
    let (from, to) = (from.join(set::PATH), to.display());
    let theirs = theirs.unwrap_or_default();
    let (what, cause) = match ours {
        Some(ours) => (
            format!("is older than its copy: of transaction {ours}, and {to} of {theirs}"),
            "somebody put an old state back, restored a backup, or published to the copy",
        ),
        None => (
            "is gone, and its copy has it".to_owned(),
            "somebody removed what was there, or an older imgforge has published there",
        ),
    };
    let error = Error::gate(format!("{} {what}", from.display()));
    error.cause(cause).hint(
        "copy the newer one back, if nothing was published since; to continue from what is there, \
         `imgforge channel renew --allow-older` there, which continues the numbers that that host \
         has seen, or another directory",
    )
}

/// Whether a text of the copy was signed after it was put there, as a clock that was wrong says.
fn was_to_come(to: &Path, path: &str, when: Timestamp) -> bool {
    let put = below::open(to, Path::new(path)).and_then(|file| file.metadata()?.modified());
    let put = put.ok().and_then(|put| Timestamp::try_from(put).ok());
    put.is_some_and(|put| when.as_second() > put.as_second() + PATIENCE)
}

/// The keys that verify what the copy has. Where it was signed by another than those that count, that
/// is one which the repository says was retired: else the copy is newer than a change of the key.
fn keyring_of<'a>(
    from: &Path,
    to: &Path,
    replica: &'a Replica,
    first: bool,
) -> Result<Cow<'a, Keyring>> {
    let there = below::read(to, KEY_FILE).ok().flatten();
    let Some(there) = there.and_then(|there| Keyring::read(&there, None).ok()) else {
        return Ok(Cow::Borrowed(&replica.keyring));
    };
    let counts = |key: &&String| replica.keyring.fingerprints.contains(key);
    let Some(key) = there.fingerprints.iter().find(|key| !counts(key)) else {
        return Ok(Cow::Borrowed(&replica.keyring));
    };
    let claims = claims(to, &there)?;
    let over = match replica.state.owner() {
        Some(owner) => owner.retired.contains(key),
        // An older imgforge did not say so; nor did it sign the copy.
        None => claims.iter().all(|one| one.owner.is_none()),
    };
    // A stranger's key would say that, too.
    let known = |(_, key): &(String, String)| counts(&key);
    let coming = |one: &Claims| {
        owner_is(one, &replica.state.id)
            && one
                .owner
                .iter()
                .any(|owner| owner.seconds.iter().any(known))
    };
    if over && first && !claims.iter().any(coming) {
        return Err(nobody_says(from, to, key));
    }
    match over {
        true => Ok(Cow::Owned(there)),
        false => Err(Error::gate(format!(
            "{} is signed by {key}, which {} does not know",
            to.display(),
            from.display()
        ))
        .cause(
            "its key was changed since, and somebody put the old state back or restored a backup",
        )
        .hint(
            "copy the newer state back, if nothing was published since; if the key was changed by \
             hand, name another directory",
        )),
    }
}

/// Nobody but the key in question says that it took the place of the copy's.
fn nobody_says(from: &Path, to: &Path, key: &str) -> Error {
    Error::gate(format!(
        "{} is signed by {key}, {} by another key, and the copy does not say that this one was to come",
        to.display(),
        from.display()
    ))
    .cause(
        "its key was changed since the last copy, or somebody who can write there signs with \
         another key",
    )
    .hint(
        "if its owner has changed it, write the new key's fingerprint as `fingerprint:` of the \
         repository in imgforge.yaml",
    )
}

fn older(path: &Path, when: Timestamp, copy: &Path, newer: Timestamp) -> Error {
    Error::gate(format!(
        "{} is older than its copy: signed at {when:.0}, and {} at {newer:.0}",
        path.display(),
        copy.display()
    ))
    .cause("somebody put an old state back, or restored a backup")
    .hint(
        "copy the newer one back, if nothing was published since; to continue from the older one, \
         `imgforge channel renew --allow-older` there, or another directory",
    )
}

/// What is to change in the copy; the indexes last.
pub(super) fn changes(state: &State, to: &Path, files: Files) -> Result<Vec<journal::Replacement>> {
    let ours = Names::of(state).and_of_copy(to)?;
    let mut there = served::entry_points(to)?;
    there.retain(|path| ours.include(path) && !files.contains_key(path));
    let mut all: Vec<journal::Replacement> = there.into_iter().map(|path| (path, None)).collect();
    for (path, bytes) in files {
        if below::read(to, &path).ok().flatten().as_ref() != Some(&bytes) {
            all.push((path, Some(bytes)));
        }
    }
    all.sort_by_key(|(path, _)| (rank(path), path.clone()));
    Ok(all)
}

/// The default channel's index comes after everything else that readers see; then the records.
fn rank(path: &str) -> u8 {
    match path {
        "index.asc" => 2,
        path if path.starts_with(".imgforge/") => 3,
        path if path.ends_with("/index.asc") => 1,
        _ => 0,
    }
}

/// Removes what the records say is gone.
pub(super) fn remove_gone(state: &State, to: &Path) -> Result<usize> {
    let mut count = 0;
    for image in state.images.values() {
        let used = image.directories();
        // Of what was only bound nobody has signed that it is gone.
        for (number, _) in image.published().filter(|(_, r)| r.removed.is_some()) {
            let dir = revision_dir(&image.name, number);
            if !used.contains(dir.as_str()) {
                count += usize::from(below::remove_dir(to, &dir)?);
            }
        }
    }
    Ok(count)
}
