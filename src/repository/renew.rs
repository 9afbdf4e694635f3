//! What is signed counts for a time: who serves an old index cannot do so for ever. Every change of
//! the repository signs everything anew when a quarter of that time is over.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::fresh::Age;
use super::rotate::{Keys, second_path};
use super::seconds;
use super::signing::SignedText;
use super::state::{Stamp, State};
use super::transaction::Transaction;
use super::views::revisions;
use super::vouched::VerifiedState;
use super::{Repository, below, seen, set};
use crate::error::{Error, Result};
use crate::index::{Claims, Owner};
use crate::units::Span;

/// How long what is signed counts when nobody says, 90 days.
pub(super) const VALID_FOR: Span = Span::seconds(90 * 24 * 3600);

impl Repository {
    /// Signs everything anew, and changes nothing else, so that it goes on to count: frozen
    /// channels, too. Returns until when it does now.
    ///
    /// # Errors
    /// When an index is not what was signed, or something cannot be written.
    pub fn renew(&self, stamp: &Stamp) -> Result<Timestamp> {
        self.renew_at(stamp, Age::Expired)
    }

    /// As [`Repository::renew`], also of what is older than this host has seen: what came after it
    /// is lost.
    ///
    /// # Errors
    /// As there.
    pub fn renew_older(&self, stamp: &Stamp) -> Result<Timestamp> {
        self.renew_at(stamp, Age::Any)
    }

    fn renew_at(&self, stamp: &Stamp, age: Age) -> Result<Timestamp> {
        let held = self.lock()?;
        let mut transaction = Transaction::begin_at(self, &held, stamp.clone(), age)?;
        transaction.renewal = true;
        let until = self.valid_until();
        transaction.commit()?;
        Ok(until)
    }

    /// Remembers what was signed of a repository and put in place by a transaction.
    pub(super) fn note_made(&self, id: &str, made: &[SignedText], serial: u64) -> Result<()> {
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        let is_dated = |path: &str| second_path(path, "x").is_some() || seconds::is_second(path);
        let made = made
            .iter()
            .filter(|(path, _)| path == set::PATH || is_dated(path));
        let made = made.map(|(path, when)| Ok((seen.address(path)?, *when, is_dated(path))));
        seen.made(id, serial, made.collect::<Result<_>>()?)
    }

    /// Until when what is signed now counts.
    pub(super) fn valid_until(&self) -> Timestamp {
        let span = SignedDuration::from_secs(self.valid_for.as_seconds().cast_signed());
        let end = Timestamp::now().checked_add(span).unwrap_or(Timestamp::MAX);
        // As it is written.
        Timestamp::from_second(end.as_second()).unwrap_or(end)
    }

    /// What a channel's index says of itself.
    pub(super) fn claims(&self, state: &State, channel: &str, keys: &Keys, serial: u64) -> Claims {
        let seconds = keys.seconds.iter();
        let seconds = seconds.map(|one| (one.suffix.clone(), one.fingerprint.clone()));
        Claims {
            owner: Some(Owner {
                repository: state.id.clone(),
                key: keys.main.clone(),
                seconds: seconds.collect(),
                retired: keys.retired.clone(),
            }),
            channel: Some(channel.to_owned()),
            default: channel == state.default_channel,
            frozen: state.is_frozen(channel),
            state: Some(serial),
            valid_until: Some(self.valid_until()),
        }
    }

    /// Whether something counts for less than three quarters of its time, or longer than it
    /// should, or does not name its repository or its state yet, or says something else under its second URL.
    pub(super) fn is_due(&self, state: &VerifiedState, keys: &Keys) -> Result<bool> {
        let (now, whole) = (Timestamp::now(), self.valid_for.as_seconds().cast_signed());
        for path in dated(state) {
            // What is not there is not renewed; whoever needs it says why.
            let Some(signed) = below::read(&self.root, &path)? else {
                continue;
            };
            let soon = valid_until(&path, &signed).is_none_or(|end| {
                let left = end.duration_since(now).as_secs();
                left < whole / 4 * 3 || left > whole
            });
            if soon || !names_all(&path, &signed) {
                return Ok(true);
            }
        }
        // Who could not sign those when these changed, does so as soon as they can.
        let signing = keys.seconds.iter().filter(|one| one.resting.is_none());
        for (second, owner) in signing.zip(std::iter::repeat(state.owner())) {
            let pair = (second.suffix.clone(), second.fingerprint.clone());
            let there = owner.map(|owner| seconds::read(state, owner, &pair, state.signed()));
            // Where its key file is gone that is written again, too.
            if there.is_some_and(|there| there.map_or(true, |there| !there.current)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Everything that is signed with a time after which it does not count: the index of each channel,
/// and the list of each image's revisions; paths below the root.
pub(super) fn dated(state: &State) -> impl Iterator<Item = String> {
    let indexes = state
        .channels
        .keys()
        .map(|channel| state.index_path(channel));
    let lists = state.images.values().filter(|image| image.is_listed());
    indexes.chain(lists.map(|image| revisions::path(&image.name)))
}

/// Whether such a text says of which repository it is, and that there is a signed state of that; one
/// by an older imgforge does not.
fn names_all(path: &str, signed: &[u8]) -> bool {
    let text = text_of(signed);
    let named = match path.ends_with(".asc") {
        true => Claims::parse(&text).owner.is_some(),
        false => text.contains("\n  \"repository\": \""),
    };
    named && seen::number(&text).is_some()
}

/// What a clear-signed text says, verified or not.
pub(super) fn text_of(signed: &[u8]) -> String {
    let text = String::from_utf8_lossy(signed);
    let text = text.split_once("\n\n").map_or("", |(_, text)| text);
    let end = text
        .find("\n-----BEGIN PGP SIGNATURE")
        .unwrap_or(text.len());
    text[..end].to_owned()
}

/// Until when such a text counts by its own words, verified or not.
fn valid_until(path: &str, signed: &[u8]) -> Option<Timestamp> {
    let text = text_of(signed);
    if path.ends_with(".asc") {
        return Claims::parse(&text).valid_until;
    }
    let (_, rest) = text.split_once("\n  \"valid-until\": \"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// An index of another repository that the same key signs.
pub(super) fn others_index(path: &Path) -> Error {
    let error = Error::gate(format!(
        "{} is the index of another repository",
        path.display()
    ));
    error.hint(
        "find out who put it there, and restore the right one, or \
                .imgforge/repository.json, from a backup or a copy",
    )
}

pub(super) fn other_index(path: &Path, other: &str, channel: &str) -> Error {
    let path = path.display();
    let error = Error::gate(format!(
        "{path} is the index of `{other}`, not of `{channel}`"
    ));
    error.hint("find out who changed it; `imgforge repo verify` shows what else is wrong")
}
