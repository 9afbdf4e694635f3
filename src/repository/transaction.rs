//! A change of the repository: its state, the indexes and everything derived from them, replaced
//! together.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::fresh::{Age, await_clock, refuse_elsewhere, refuse_gone, refuse_old};
use super::identity::Identity;
use super::listing::{canary_id, entry};
use super::rotate::{Keys, Second};
use super::state::{Action, Channel, ChannelEvent, Image, Stamp, State};
use super::views::{Change, VIEWS, ViewFile};
use super::vouched::VerifiedState;
use super::{LockGuard, Repository, broken_index, files, journal, set};
use crate::channels::{Canary, Share};
use crate::error::{Error, Result};
use crate::gpg::Signer;
use crate::index::{self, Claims, IndexEntry, PLACEHOLDER};

/// A change in the making; dropped, nothing of it happens.
pub(super) struct Transaction<'a> {
    pub(super) repository: &'a Repository,
    pub(super) state: VerifiedState,
    pub(super) stamp: Stamp,
    /// Everything is rendered and signed again.
    pub(super) all: bool,
    /// So is it because what is signed will not count for long.
    pub(super) renewal: bool,
    /// More files to replace, before all others.
    pub(super) files: Vec<ViewFile>,
    /// Who signs, and with which key.
    pub(super) signer: Signer,
    pub(super) fingerprint: String,
    pub(super) keys: Keys,
    indexes: BTreeMap<String, Index>,
    pub(super) names: BTreeSet<String>,
    channels: BTreeSet<String>,
    /// What came after the state that it goes on from is lost, and others may have seen that.
    after_loss: bool,
    _held: &'a LockGuard,
}

/// What an index must say of itself, and have, when it is read again; by its path.
pub(super) type ExpectedIndex = BTreeMap<String, (Claims, Vec<IndexEntry>)>;

/// The index of a channel, before and after.
struct Index {
    old: Vec<IndexEntry>,
    new: Vec<IndexEntry>,
}

/// Where a revision goes.
pub(super) struct RevisionSlot<'a> {
    pub(super) name: &'a str,
    pub(super) channel: &'a str,
    pub(super) arch: &'a str,
    /// None: the channel has nothing any more.
    pub(super) revision: Option<u64>,
    pub(super) action: Action,
    pub(super) from: Option<&'a str>,
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(
        repository: &'a Repository,
        held: &'a LockGuard,
        stamp: Stamp,
    ) -> Result<Self> {
        Self::begin_at(repository, held, stamp, Age::Current)
    }

    /// As [`Transaction::begin`], of what may be older.
    pub(super) fn begin_at(
        repository: &'a Repository,
        held: &'a LockGuard,
        stamp: Stamp,
        age: Age,
    ) -> Result<Self> {
        let transaction = Self::begin_rotation(repository, held, stamp, age)?;
        transaction.keys.refuse_hearsay()?;
        Ok(transaction)
    }

    /// As [`Transaction::begin`], also where a rotation was begun that nobody has signed.
    pub(super) fn begin_rotation(
        repository: &'a Repository,
        held: &'a LockGuard,
        stamp: Stamp,
        age: Age,
    ) -> Result<Self> {
        // What is not signed tells who changed it, and no more.
        if let Some(keys) = repository.written_keys()? {
            refuse_changed(&keys.main, repository)?;
        }
        let mut state = VerifiedState::read(repository, age)?;
        let keys = repository.keys(&state)?;
        refuse_changed(&keys.main, repository)?;
        let (root, seen) = (repository.root.as_path(), repository.seen.as_ref());
        refuse_gone((root, &state.id), state.signed(), seen, age)?;
        let elsewhere = refuse_elsewhere(repository, &state);
        // Who says that a copy is meant has lost nothing: it counts on.
        let after_loss = age == Age::Any && elsewhere.is_ok();
        if age != Age::Any {
            elsewhere?;
        }
        refuse_old(root, state.signed().iter(), seen, age)?;
        await_clock(repository, state.signed(), age)?;
        let all = state.url != repository.url;
        state.url.clone_from(&repository.url);
        let mut transaction = Transaction {
            repository,
            all,
            renewal: repository.is_due(&state, &keys)?,
            state,
            stamp,
            files: vec![],
            signer: repository.signer.clone(),
            fingerprint: repository.fingerprint.clone(),
            keys,
            indexes: BTreeMap::new(),
            names: BTreeSet::new(),
            channels: BTreeSet::new(),
            after_loss,
            _held: held,
        };
        let retired = transaction.keys.retired.clone();
        let left = |one: &Second| retired.contains(&one.fingerprint);
        if transaction.keys.seconds.iter().any(left) {
            // An older imgforge went on to sign with a key that it had retired.
            transaction.drop_seconds(left);
            transaction.resign()?;
        }
        Ok(transaction)
    }

    /// The record of a name, which this transaction may change.
    pub(super) fn image(&mut self, name: &str) -> &mut Image {
        self.names.insert(name.to_owned());
        let new = || Image::new(name);
        self.state.images.entry(name.to_owned()).or_insert_with(new)
    }

    /// A channel, which this transaction may change.
    pub(super) fn channel(&mut self, channel: &str) -> &mut Channel {
        self.channels.insert(channel.to_owned());
        self.state.channels.entry(channel.to_owned()).or_default()
    }

    /// Refuses what would change a frozen channel.
    pub(super) fn refuse_frozen(&self, channel: &str) -> Result<()> {
        refuse_frozen(&self.state.channels, channel)
    }

    /// The entries of a channel as they are so far.
    pub(super) fn entries(&mut self, channel: &str) -> Result<&mut Vec<IndexEntry>> {
        if !self.indexes.contains_key(channel) {
            let old = match self.state.index(channel) {
                Some(entries) => entries.to_vec(),
                // What lies there was refused.
                None => vec![],
            };
            let new = old.clone();
            let index = Index { old, new };
            self.indexes.insert(channel.to_owned(), index);
        }
        self.indexes
            .get_mut(channel)
            .map(|index| &mut index.new)
            .ok_or_else(|| Error::internal("an index was read and is not there"))
    }

    /// Gives a channel a revision, or makes it the canary of a `share` of the machines there, as
    /// [`Transaction::admit`] says.
    pub(super) fn place(&mut self, place: &RevisionSlot<'_>, share: Option<Share>) -> Result<()> {
        let (channel, arch) = (place.channel.to_owned(), place.arch.to_owned());
        let stamp = self.stamp.clone();
        let _ = self.channel(&channel);
        let image = self.image(place.name);
        let replaced = image.current(&channel, &arch);
        let placement = image.channels.entry(channel.clone()).or_default();
        if let Some(revision) = place.revision.and_then(|n| image.revisions.get_mut(&n)) {
            revision.pending = false;
        }
        let mut action = place.action;
        match (place.revision, share) {
            (Some(revision), Some(share)) => {
                let canary = Canary { revision, share };
                placement.canary.insert(arch.clone(), canary);
                action = Action::Canary;
            }
            (Some(revision), None) => {
                placement.canary.remove(&arch);
                placement.current.insert(arch.clone(), revision);
            }
            (None, _) => {
                placement.canary.remove(&arch);
                placement.current.remove(&arch);
            }
        }
        if placement.current.is_empty() {
            image.channels.remove(&channel);
        }
        image.history.push(ChannelEvent {
            channel,
            arch,
            action,
            revision: place.revision,
            replaced,
            from: place.from.map(str::to_owned),
            stamp,
        });
        self.sync_index(place.name, place.channel)
    }

    /// Makes the entries of a name in a channel's index say what the state says.
    pub(super) fn sync_index(&mut self, name: &str, channel: &str) -> Result<()> {
        let id = self.state.entry_id(name, channel);
        let canary = canary_id(name, channel);
        let image = self.image(name).clone();
        let up = "../".repeat(self.state.channel_dir(channel).matches('/').count());
        let entries = self.entries(channel)?;
        let known: BTreeSet<&str> = image
            .published()
            .map(|(_, revision)| index::normalize_arch(&revision.arch))
            .collect();
        let is_ours = |entry: &IndexEntry| {
            (entry.id == id || entry.id == canary)
                && known.contains(index::normalize_arch(&entry.arch))
        };
        let (ours, mut new): (Vec<IndexEntry>, Vec<IndexEntry>) = std::mem::take(entries)
            .into_iter()
            .filter(|entry| entry.id != PLACEHOLDER)
            .partition(is_ours);
        let placement = image.channels.get(channel).cloned().unwrap_or_default();
        let revision = |number: &u64| {
            image.revisions.get(number).ok_or_else(|| {
                Error::internal(format!("`{name}` has no revision {number} in its record"))
            })
        };
        let mut add = |id: &str, number: u64, more: Vec<(String, String)>| -> Result<()> {
            let revision = revision(&number)?;
            let arch = index::normalize_arch(&revision.arch);
            let old = ours
                .iter()
                .find(|old| old.id == id && index::normalize_arch(&old.arch) == arch);
            new.push(entry(id, number, revision, &up, old, more));
            Ok(())
        };
        for number in placement.current.values() {
            add(&id, *number, vec![])?;
        }
        for one in placement.canary.values() {
            let more = vec![
                ("imgforge_canary".into(), one.share.percent()),
                ("imgforge_canary_of".into(), id.clone()),
            ];
            add(&canary, one.revision, more)?;
        }
        new.sort_by(|a, b| (&a.id, &a.arch).cmp(&(&b.id, &b.arch)));
        *entries = new;
        self.channels.insert(channel.to_owned());
        Ok(())
    }

    /// Whether anything was changed.
    pub(super) fn is_changed(&self) -> bool {
        self.all
            || !self.files.is_empty()
            || self.indexes.values().any(|index| index.old != index.new)
    }

    /// Renders, signs and verifies everything that changes, then replaces it.
    pub(super) fn commit(mut self) -> Result<VerifiedState> {
        self.all |= self.renewal;
        if self.all {
            for channel in self.state.channels.keys().cloned().collect::<Vec<_>>() {
                self.entries(&channel)?;
            }
        }
        let mut files = std::mem::take(&mut self.files);
        if self.all {
            files.extend(self.lost_keys(&files)?);
        }
        // After the one that this goes on from, and all that this host has seen.
        let seen = self.repository.seen.as_ref();
        let seen = seen.and_then(|seen| seen.read().last());
        let mut serial = self.state.serial().max(seen).unwrap_or_default() + 1;
        if self.after_loss {
            // Nobody has counted so far: a transaction takes more than a second.
            serial = serial.max(self.stamp.when.as_second().unsigned_abs());
        }
        files.extend(self.views(serial)?);
        let (indexes, texts) = self.indexes(serial)?;
        files.extend(indexes);
        let set = self.state.next_set(&files, serial, self.stamp.when);
        files.push(ViewFile::new(set::PATH, files::json(&set)?).clearsigned());
        let (mut changes, mut made) = self.signed(&files, &texts)?;
        let (seconds, under_seconds) = self.second_indexes(&files, &changes, &made)?;
        changes.extend(seconds);
        made.extend(under_seconds);
        // The default channel's index comes last: it is what most clients read.
        let default = self.state.index_path(&self.state.default_channel);
        changes.sort_by_key(|(path, _)| *path == default);
        for name in &self.names {
            if let Some(image) = self.state.images.get(name) {
                let (path, bytes) = State::image_file(image)?;
                changes.push((path, Some(bytes)));
            }
        }
        // What was signed says which repository it is, whatever the file says by now.
        for (path, bytes) in [self.state.channels_file()?, Identity::file(&self.state)?] {
            changes.push((path, Some(bytes)));
        }
        journal::replace(&self.repository.root, &changes, &self.repository.steps)?;
        self.repository.note_made(&self.state.id, &made, serial)?;
        if self.state.is_older() {
            self.repository.ui.notice(format!(
                "{} is signed as a whole from now on: no older imgforge can publish there any more",
                self.repository.root.display()
            ));
        }
        Ok(self.state)
    }

    fn views(&self, serial: u64) -> Result<Vec<ViewFile>> {
        let change = Change {
            state: &self.state,
            names: &self.names,
            channels: &self.channels,
            all: self.all,
            when: self.stamp.when,
            valid_until: self.repository.valid_until(),
            serial,
            fingerprint: &self.fingerprint,
            changes: OnceCell::new(),
            rules: &self.repository.channels,
        };
        let files: Result<Vec<_>> = VIEWS.iter().map(|view| view(&change)).collect();
        Ok(files?.concat())
    }

    /// The indexes that changed, and the entries that each must give when it is read again.
    fn indexes(&self, serial: u64) -> Result<(Vec<ViewFile>, ExpectedIndex)> {
        let (mut files, mut texts) = (Vec::new(), ExpectedIndex::new());
        for (channel, index) in &self.indexes {
            // An index that was emptied goes on to be signed.
            let nothing = index.new.is_empty() && self.state.index(channel).is_none();
            let frozen = self.state.is_frozen(channel);
            let same = index.old == index.new && frozen == self.state.was_frozen(channel);
            if nothing || (same && !self.all) {
                continue;
            }
            let path = self.state.index_path(channel);
            let mut entries = index.new.clone();
            if entries.is_empty() {
                let up = "../".repeat(self.state.channel_dir(channel).matches('/').count());
                entries.push(self.repository.placeholder(&up)?);
            }
            let text = index::write(&entries)
                .map_err(|problems| broken_index(&self.repository.root.join(&path), &problems))?;
            let claims = self
                .repository
                .claims(&self.state, channel, &self.keys, serial);
            let text = claims.before(&text)?;
            files.push(ViewFile::new(path.clone(), text).clearsigned());
            texts.insert(path, (claims, entries));
        }
        Ok((files, texts))
    }
}

/// Another process may have finished a rotation.
fn refuse_changed(main: &str, repository: &Repository) -> Result<()> {
    if main == repository.fingerprint {
        return Ok(());
    }
    let error = Error::usage(format!("the signing key changed to {main} meanwhile"));
    Err(error.hint("write `signing-key:` with the new key in imgforge.yaml and try again"))
}

/// Refuses what would change a frozen channel.
pub(super) fn refuse_frozen(channels: &BTreeMap<String, Channel>, channel: &str) -> Result<()> {
    let frozen = channels
        .get(channel)
        .and_then(|channel| channel.frozen.as_ref());
    let Some(stamp) = frozen else { return Ok(()) };
    let why = stamp.why.as_deref().unwrap_or("no reason was given");
    Err(
        Error::gate(format!("the channel `{channel}` is frozen: {why}"))
            .cause(format!("{} froze it at {}", stamp.who, stamp.when))
            .hint(format!(
                "`imgforge channel thaw {channel}` ends that; other channels are open"
            )),
    )
}
