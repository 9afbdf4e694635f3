//! Retention: which revisions go, and when their files do.
//!
//! A revision goes in two steps. First it is retired: it leaves every list and page, so that no
//! new download begins. Its files go at the first run after the grace period, when no download
//! that began before can need them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::manifest::revision_dir;
use super::state::{ChannelEvent, Image, Revision, Stamp, State};
use super::transaction::Transaction;
use super::vouched::VerifiedState;
use super::{Repository, below, lock};
use crate::digest::Key;
use crate::error::Result;
use crate::units::Span;

/// What [`Repository::prune`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Of each channel and architecture, so many of the last different images; the recipe's own
    /// number goes before it when this one is none.
    pub keep: Option<u32>,
    /// Everything that a channel had in this time.
    pub window: Span,
    /// How long a download may take.
    pub grace: Span,
}

/// How many images of a channel are kept when nobody says.
pub(super) const KEEP: u32 = 10;

/// A blob that goes, with all its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneCandidate {
    /// The image.
    pub name: String,
    /// The revisions that are these bytes.
    pub revisions: Vec<u64>,
    /// Size of the blob and the files beside it, in bytes.
    pub size: u64,
    /// What happens now.
    pub fate: Fate,
}

/// A step of a blob's way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It leaves the lists; its files stay until this time.
    Retire(Timestamp),
    /// Its files go.
    Remove,
}

/// Says what a policy would remove from the repository in `root`, at a time; that needs neither its
/// key nor the right to write there.
///
/// # Errors
/// When there is no repository, or a record is damaged.
pub fn prune_candidates(
    root: &Path,
    policy: &Policy,
    when: Timestamp,
) -> Result<Vec<PruneCandidate>> {
    let held = lock::to_read(root)?;
    let state = State::read(root)?;
    drop(held);
    Ok(judge(&state, policy, when))
}

/// The keys of all stages that made what the repository in `root` still has: what its channels have, and
/// what they may go back to until it is pruned.
///
/// # Errors
/// When there is no repository, or a record of it is damaged or of another version of imgforge.
pub fn published_stages(root: &Path) -> Result<BTreeSet<Key>> {
    let _held = lock::to_read(root)?;
    let state = State::read(root)?;
    let mut keys = BTreeSet::new();
    for image in state.images.values() {
        let placed = image.placed();
        let stays = |(number, one): &(&u64, &Revision)| one.offered() || placed.contains(number);
        for (number, _) in image.published().filter(stays) {
            let manifest = state.manifest(&image.name, *number)?;
            if let Some(stages) = &manifest.origin.stages {
                keys.extend(stages.read()?.into_iter().map(|stage| stage.key));
            }
        }
    }
    Ok(keys)
}

impl Repository {
    /// Says what a policy removes, and removes it if `really`.
    ///
    /// # Errors
    /// When the records cannot be read, or something cannot be removed.
    pub fn prune(
        &self,
        policy: &Policy,
        really: bool,
        stamp: &Stamp,
    ) -> Result<Vec<PruneCandidate>> {
        let held = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        let candidates = judge(&transaction.state, policy, stamp.when);
        if really && (!candidates.is_empty() || transaction.renewal) {
            for one in &candidates {
                transaction.carry_out(one);
            }
            let state = transaction.commit()?;
            self.sweep(&state)?;
        } else if really {
            self.sweep(&transaction.state)?;
        }
        Ok(candidates)
    }

    /// Removes the directories of revisions whose files are to be gone: those of this run, and
    /// what an earlier one that was killed left.
    fn sweep(&self, state: &VerifiedState) -> Result<()> {
        for image in state.images.values() {
            let used = image.directories();
            for (number, revision) in &image.revisions {
                let dir = revision_dir(&image.name, number);
                if revision.removed.is_none() || used.contains(dir.as_str()) {
                    continue;
                }
                if self.root.join(&dir).exists() {
                    self.step("remove a revision's files");
                    below::remove_dir(&self.root, &dir)?;
                }
            }
        }
        Ok(())
    }
}

impl Image {
    /// The directories that the files of published revisions lie in, below the root.
    pub(super) fn directories(&self) -> BTreeSet<&str> {
        let there = self.published().filter(|(_, one)| one.removed.is_none());
        there
            .flat_map(|(_, one)| {
                let beside = one.companions.values().map(|file| &file.path);
                std::iter::once(&one.file).chain(beside)
            })
            .filter_map(|path| Some(path.rsplit_once('/')?.0))
            .collect()
    }
}

impl Transaction<'_> {
    fn carry_out(&mut self, candidate: &PruneCandidate) {
        let when = self.stamp.when;
        let image = self.image(&candidate.name);
        for number in &candidate.revisions {
            if let Some(revision) = image.revisions.get_mut(number) {
                revision.retired.get_or_insert(when);
                if candidate.fate == Fate::Remove {
                    revision.removed = Some(when);
                }
            }
        }
    }
}

/// Which blobs a policy lets go of, by name and revision.
fn judge(state: &State, policy: &Policy, now: Timestamp) -> Vec<PruneCandidate> {
    let below = still_built_on(state);
    let mut candidates = Vec::new();
    for image in state.images.values() {
        let kept = kept_bytes(image, policy, now);
        for ((arch, sha512, _), numbers) in by_bytes(image) {
            let all: Vec<&Revision> = numbers.iter().map(|n| &image.revisions[n]).collect();
            let gone = all.iter().all(|revision| revision.removed.is_some());
            let is_below = |revision: &&Revision| {
                let id = format!("{}-{}", image.name, revision.image_version);
                below.contains(id.as_str())
            };
            if gone || kept.contains(&(arch, sha512)) || all.iter().any(is_below) {
                continue;
            }
            let retired = all.iter().filter_map(|revision| revision.retired).max();
            let grace = SignedDuration::from_secs(policy.grace.as_seconds().cast_signed());
            let until = retired.unwrap_or(now).saturating_add(grace).unwrap_or(now);
            let fate = match retired {
                _ if until <= now => Fate::Remove,
                None => Fate::Retire(until),
                // Its time has not come.
                Some(_) => continue,
            };
            let size = all.first().map_or(0, |revision| {
                let beside = revision.companions.values().map(|file| file.size);
                revision.size + beside.sum::<u64>()
            });
            candidates.push(PruneCandidate {
                name: image.name.clone(),
                revisions: numbers,
                size,
                fate,
            });
        }
    }
    candidates.sort_by(|a, b| (&a.name, &a.revisions).cmp(&(&b.name, &b.revisions)));
    candidates
}

/// An architecture and a SHA-512: what a blob is.
type Bytes<'a> = (&'a str, &'a str);

/// The revisions of each blob; those that were only bound, of which nobody has signed how they
/// fare, by themselves.
fn by_bytes(image: &Image) -> BTreeMap<(&str, &str, bool), Vec<u64>> {
    let mut groups: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for (number, one) in &image.revisions {
        let key = (one.arch.as_str(), one.sha512.as_str(), one.pending);
        groups.entry(key).or_default().push(*number);
    }
    groups
}

/// The images below those that are still offered, as `NAME-VERSION`.
fn still_built_on(state: &State) -> BTreeSet<&str> {
    let revisions = state
        .images
        .values()
        .flat_map(|image| image.revisions.values());
    revisions
        .filter(|revision| revision.offered())
        .flat_map(|revision| revision.built_on.iter().map(String::as_str))
        .collect()
}

/// The blobs that stay, for what the channels have, had lately, or may go back to.
fn kept_bytes<'a>(image: &'a Image, policy: &Policy, now: Timestamp) -> BTreeSet<Bytes<'a>> {
    let window = policy.window.as_seconds().max(policy.grace.as_seconds());
    let since = SignedDuration::from_secs(window.cast_signed());
    let since = now.saturating_sub(since).unwrap_or(Timestamp::MIN);
    let keep = policy.keep.or(image.keep).unwrap_or(KEEP) as usize;
    let bytes = |number: u64| -> Option<Bytes<'a>> {
        let revision = image.revisions.get(&number)?;
        Some((&revision.arch, &revision.sha512))
    };
    let placed = image.placed();
    let mut kept: BTreeSet<Bytes<'_>> = placed.iter().filter_map(|n| bytes(*n)).collect();
    // Bound by a publisher that may still be at work, or was killed.
    let fresh = image
        .revisions
        .iter()
        .filter(|(_, r)| r.created.when > since);
    kept.extend(fresh.filter_map(|(number, _)| bytes(*number)));
    for history in by_place(image).values() {
        let mut last: Vec<Bytes<'_>> = Vec::new();
        let mut until = Timestamp::MAX;
        for moved in history.iter().rev() {
            let Some(one) = moved.revision.and_then(bytes) else {
                until = moved.stamp.when;
                continue;
            };
            if !last.contains(&one) && last.len() < keep {
                last.push(one);
            }
            // It was there until the next one came.
            if until > since {
                kept.insert(one);
            }
            until = moved.stamp.when;
        }
        kept.extend(last);
    }
    // A yanked one stays for no history's sake.
    let yanked = |one: &Bytes<'_>| {
        image.published().any(|(number, revision)| {
            revision.yanked.is_some() && bytes(*number) == Some(*one) && !placed.contains(number)
        })
    };
    kept.retain(|one| !yanked(one));
    kept
}

/// The history of each channel and architecture.
fn by_place(image: &Image) -> BTreeMap<(&str, &str), Vec<&ChannelEvent>> {
    let mut places: BTreeMap<(&str, &str), Vec<&ChannelEvent>> = BTreeMap::new();
    for moved in &image.history {
        let place = (moved.channel.as_str(), moved.arch.as_str());
        places.entry(place).or_default().push(moved);
    }
    places
}
