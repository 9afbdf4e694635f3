//! What lies under a second URL of a repository: the texts of the first ones, signed by another key.
//! Where that key could not sign since, earlier ones: these count as long as any, and no longer, and
//! offer nothing that was yanked.

use jiff::Timestamp;

use super::rotate::second_path;
use super::state::State;
use super::verify::{Signed, SignedClaims};
use super::views::revisions::RevisionList;
use super::{below, check_name, set};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Verified, verify_all};
use crate::index::{self, Claims, IndexEntry, Owner};

/// What lies under one second URL.
pub(super) struct Second {
    /// Path of the key below the root.
    pub(super) key: String,
    pub(super) keyring: Keyring,
    /// The texts that are there.
    pub(super) signed: Vec<Signed>,
    /// They are all there, and say what the first ones say.
    pub(super) current: bool,
}

/// Reads what lies under the second URL `suffix`, which `fingerprint` signs, as `owner` says.
/// `firsts` are the indexes and lists.
///
/// # Errors
/// When the key is not there, or a file cannot be read.
pub(super) fn read(
    state: &State,
    owner: &Owner,
    (suffix, fingerprint): &(String, String),
    firsts: &[Signed],
) -> Result<Second> {
    check_name("file", suffix)?;
    let key = format!("imgforge-{suffix}.gpg");
    let keyring = Keyring::read(&below::read_present(&state.root, &key)?, Some(fingerprint))?;
    let mut there = Vec::new();
    for first in firsts {
        let Some(path) = second_path(&first.path, suffix) else {
            continue;
        };
        if let Some(bytes) = below::read(&state.root, &path)? {
            there.push((first, path, bytes));
        }
    }
    let texts: Vec<&[u8]> = there.iter().map(|(.., bytes)| bytes.as_slice()).collect();
    let verified = verify_all(&texts, &keyring)?;
    let both = owner.key == *fingerprint;
    let (mut signed, mut current) = (Vec::new(), 0);
    for ((first, path, bytes), verified) in there.into_iter().zip(verified) {
        let result = verified.and_then(|verified| judge(state, first, both, verified, bytes));
        let text = |one: &Result<SignedClaims>| one.as_ref().ok().map(|claims| lines(&claims.text));
        current += usize::from(result.is_ok() && text(&result) == text(&first.result));
        signed.push(Signed {
            channel: first.channel.clone(),
            image: first.image.clone(),
            path,
            result,
        });
    }
    let all = firsts.iter();
    let all = all.filter(|first| second_path(&first.path, suffix).is_some());
    Ok(Second {
        key,
        current: current == all.count(),
        signed,
        keyring,
    })
}

/// Blanks at the end of a line are not signed.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim_end);
    lines.map(str::to_owned).collect()
}

/// What a text says of itself, if it may lie beside the first one; `both` are signed by one key.
fn judge(
    state: &State,
    first: &Signed,
    both: bool,
    verified: Verified,
    bytes: Vec<u8>,
) -> Result<SignedClaims> {
    let Ok(ours) = &first.result else {
        let path = &first.path;
        return Err(Error::gate(format!("{path}, whose text it has, is wrong")));
    };
    let said = Said::of(first, &verified.text)?;
    if lines(&ours.text) != lines(&verified.text) {
        // An operator may add aliases to an index, and sign it again.
        let entries = |text: &str| first.image.is_none().then(|| set::of_index(text));
        let same = entries(&ours.text);
        if both && (same.is_none() || same != entries(&verified.text)) {
            let path = &first.path;
            let error = Error::gate(format!("it does not say what {path} says"));
            return Err(error.cause("one key signs both"));
        }
        earlier(state, first, ours, &said)?;
    }
    Ok(SignedClaims {
        valid_until: said.valid_until,
        when: verified.when,
        repository: said.repository,
        text: verified.text,
        bytes,
    })
}

/// What a text says of itself, and what it offers.
struct Said {
    /// The image, or the channel with whether it is the default one.
    about: (Option<String>, bool),
    repository: Option<String>,
    valid_until: Option<Timestamp>,
    /// Revisions with the SHA-512 of their blobs.
    offers: Vec<(u64, String)>,
}

impl Said {
    /// What a text in the place of `first` says.
    ///
    /// # Errors
    /// When it is there for a list, and none.
    fn of(first: &Signed, text: &str) -> Result<Self> {
        match first.image {
            Some(_) => said_of_list(text),
            None => Ok(said_of_index(text)),
        }
    }
}

fn said_of_index(text: &str) -> Said {
    let entries = index::parse(text).and_then(|sections| index::check(&sections));
    let offer = |entry: &IndexEntry| Some((entry.revision, entry.sha512.clone()?));
    let claims = Claims::parse(text);
    Said {
        about: (claims.channel, claims.default),
        repository: claims.owner.map(|owner| owner.repository),
        valid_until: claims.valid_until,
        offers: entries.iter().flatten().filter_map(offer).collect(),
    }
}

fn said_of_list(text: &str) -> Result<Said> {
    let list = RevisionList::parse(text)?;
    let valid_until = list.valid_until();
    let revisions = list.revisions.into_iter();
    let offered = revisions.filter(|(_, one)| one.yanked.is_none());
    Ok(Said {
        about: (Some(list.name), false),
        repository: list.repository,
        valid_until,
        offers: offered.map(|(number, one)| (number, one.sha512)).collect(),
    })
}

/// Refuses an earlier text that does not count.
fn earlier(state: &State, first: &Signed, ours: &SignedClaims, said: &Said) -> Result<()> {
    let path = &first.path;
    let wanted = Said::of(first, &ours.text)?;
    if said.about != wanted.about || said.repository != wanted.repository {
        return Err(Error::gate(format!(
            "it is about something else than {path}"
        )));
    }
    let over = said.valid_until.filter(|end| *end <= Timestamp::now());
    if over.is_some() || said.valid_until.is_none() {
        let error = Error::gate("it is not valid any more");
        return Err(error.cause(
            "its key has not signed since; `imgforge repo rotate-key --cancel` ends that rotation",
        ));
    }
    let all = state.images.values().flat_map(|image| image.published());
    let yanked = all.filter(|(_, one)| one.yanked.is_some());
    for (number, one) in yanked {
        let has = |(offered, sha512): &(u64, String)| offered == number && *sha512 == one.sha512;
        if said.offers.iter().any(has) {
            let error = Error::gate(format!("it offers revision {number}, which was yanked"));
            return Err(error.cause("an older one was put in its place"));
        }
    }
    Ok(())
}

/// `index-SUFFIX.asc` of a channel, `revisions-SUFFIX.sjson` of an image.
pub(super) fn is_second(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let of = |all: &str| {
        dir.split_once('/')
            .is_some_and(|(top, one)| top == all && !one.contains('/'))
    };
    let channel = dir.is_empty() || of("channels");
    (channel && name.starts_with("index-") && name.ends_with(".asc"))
        || (of("images") && name.starts_with("revisions-") && name.ends_with(".sjson"))
}
