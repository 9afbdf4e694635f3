//! A revision that must not be used any more, such as one with a leaked secret in it.

use std::collections::BTreeSet;

use super::bind::Number;
use super::channel::previous;
use super::fresh::Age;
use super::manifest::revision_dir;
use super::state::{Action, ChannelEvent, Stamp};
use super::transaction::{RevisionSlot, Transaction};
use super::{Repository, below};
use crate::error::{Error, Result};
use crate::ui::Ui;

/// What [`Repository::yank`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Yanked {
    /// The revisions with these bytes.
    pub revisions: Vec<u64>,
    /// What the channels that had one of them have now.
    pub moved: Vec<ChannelEvent>,
    /// Directories below the root that were removed at once.
    pub purged: Vec<String>,
    /// Published images that were built on these bytes, as `NAME@REVISION`.
    pub children: Vec<String>,
}

impl Repository {
    /// Yanks a revision, and every other one with the same bytes. Channels that have one, frozen
    /// ones too, get what they had before, or nothing. With `purge` the files go at once, whoever
    /// is downloading them. What a second key has signed that cannot sign now goes.
    ///
    /// # Errors
    /// When there is no such revision, or its files cannot be removed.
    pub fn yank(
        &self,
        name: &str,
        revision: u64,
        purge: bool,
        stamp: &Stamp,
        ui: &Ui,
    ) -> Result<Yanked> {
        let held = self.lock()?;
        let mut transaction = Transaction::begin_at(self, &held, stamp.clone(), Age::Urgent)?;
        let yanked = transaction
            .yank(name, revision, purge)
            .map_err(|error| error.within(format!("yanking {name}@{revision} failed")))?;
        transaction.withdraw_resting();
        transaction.commit()?;
        for dir in &yanked.purged {
            self.step("purge a revision");
            below::remove_dir(&self.root, dir)?;
        }
        drop(held);
        self.tell(name, &yanked.moved, stamp, ui);
        Ok(yanked)
    }
}

impl Transaction<'_> {
    fn yank(&mut self, name: &str, revision: u64, purge: bool) -> Result<Yanked> {
        let image = self.state.known_image(name)?;
        let bytes = image.revisions.get(&revision).cloned().ok_or_else(|| {
            let error = Error::usage(format!("`{name}` has no revision {revision}"));
            error.hint(image.other_revisions())
        })?;
        let stamp = self.stamp.clone();
        let image = self.image(name);
        let (mut revisions, mut purged) = (BTreeSet::new(), Vec::new());
        for (number, other) in &mut image.revisions {
            if !other.same_bytes(&bytes) {
                continue;
            }
            other.yanked.get_or_insert_with(|| stamp.clone());
            revisions.insert(*number);
            if purge {
                other.removed.get_or_insert(stamp.when);
                purged.push(revision_dir(name, *number));
            }
        }
        let before = image.history.len();
        self.take_out(name, &revisions)?;
        let moved = self.image(name).history[before..].to_vec();
        let below = format!("{name}-{}", bytes.image_version);
        let children = self.state.children(&below);
        Ok(Yanked {
            revisions: revisions.into_iter().collect(),
            moved,
            purged,
            children,
        })
    }

    /// Gives every channel that has one of these revisions something else.
    fn take_out(&mut self, name: &str, revisions: &BTreeSet<u64>) -> Result<()> {
        let mut hit = Vec::new();
        for (channel, placement) in &self.image(name).channels {
            for (arch, current) in &placement.current {
                let canary = placement.canary.get(arch);
                let current = revisions.contains(current);
                if current || canary.is_some_and(|canary| revisions.contains(&canary.revision)) {
                    hit.push((channel.clone(), arch.clone(), current));
                }
            }
        }
        for (channel, arch, current_is_bad) in hit {
            let image = self.image(name);
            let canary = image.canary(&channel, &arch);
            let canary = canary.filter(|canary| !revisions.contains(canary));
            let target = match (current_is_bad, canary) {
                (false, _) => image.current(&channel, &arch),
                // The canary is newer than what must go.
                (true, Some(canary)) => Some(canary),
                (true, None) => previous(image, &channel, &arch),
            };
            let place = RevisionSlot {
                name,
                channel: &channel,
                arch: &arch,
                revision: None,
                action: Action::Yank,
                from: None,
            };
            match target {
                Some(target) if self.usable(name, target).is_ok() => {
                    self.give(&place, target, Number::Fresh)?;
                }
                _ => self.place(&place, None)?,
            }
        }
        Ok(())
    }
}
