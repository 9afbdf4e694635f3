//! What moves a channel without a build: promotion, rollback, the end of a canary, and a freeze.

mod complete;
mod freeze;
mod promote;
mod rollback;

pub(super) use rollback::previous;
use rollback::taken_back;

use super::bind::{Bound, Number};
use super::hooks::Happened;
use super::publication::Publication;
use super::state::{Action, ChannelEvent, Revision, Stamp, State};
use super::transaction::{RevisionSlot, Transaction};
use super::{LockGuard, Repository, below};
use crate::channels::{Arrival, Share};
use crate::error::{Error, Result};
use crate::ui::Ui;

impl Repository {
    /// Changes the repository under its lock; what happened is told to the hooks.
    fn change(
        &self,
        name: &str,
        stamp: &Stamp,
        ui: &Ui,
        act: impl FnOnce(&mut Transaction<'_>) -> Result<()>,
    ) -> Result<Vec<ChannelEvent>> {
        let held: LockGuard = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        let before = history(&transaction.state, name).len();
        act(&mut transaction)?;
        let moved = history(&transaction.state, name)[before..].to_vec();
        if !moved.is_empty() {
            transaction.commit()?;
        }
        drop(held);
        self.tell(name, &moved, stamp, ui);
        Ok(moved)
    }

    /// Tells the hooks what happened to an image.
    pub(super) fn tell(&self, name: &str, moved: &[ChannelEvent], stamp: &Stamp, ui: &Ui) {
        for moved in moved {
            let happened = Happened {
                arch: Some(moved.arch.clone()),
                revision: moved.revision,
                from: moved.from.clone(),
                ..Happened::new(&moved.action.to_string(), name, &moved.channel)
            };
            self.run_hooks(&happened, stamp, ui);
        }
    }
}

fn history<'a>(state: &'a State, name: &str) -> &'a [ChannelEvent] {
    let image = state.images.get(name);
    image
        .map(|image| image.history.as_slice())
        .unwrap_or_default()
}

impl Transaction<'_> {
    /// A revision that can be used: known, its files there, not yanked, and nothing against it by whoever
    /// [judges](Repository::judged_by).
    pub(super) fn usable(&self, name: &str, number: u64) -> Result<Revision> {
        let image = self.state.known_image(name)?;
        let known = image.revisions.get(&number).filter(|one| !one.pending);
        let revision = known.ok_or_else(|| {
            let error = Error::usage(format!("`{name}` has no revision {number}"));
            error.hint(image.other_revisions())
        })?;
        if let Some(stamp) = &revision.yanked {
            let why = stamp.why.as_deref().unwrap_or("no reason was given");
            return Err(Error::gate(format!("{name}@{number} was yanked: {why}"))
                .hint(image.other_revisions()));
        }
        if revision.removed.is_some() || !self.has_file(&revision.file) {
            return Err(
                Error::gate(format!("the files of {name}@{number} are gone"))
                    .hint("copy the image directory back from a mirror, or build the image again"),
            );
        }
        (self.repository.judge)(&self.repository.root, name, revision)?;
        Ok(revision.clone())
    }

    fn has_file(&self, path: &str) -> bool {
        below::open(&self.repository.root, std::path::Path::new(path)).is_ok()
    }

    /// What a channel would get of a revision: its bytes, under which number, and for which share of the
    /// machines. Nothing is written.
    ///
    /// # Errors
    /// When it cannot be used, or a rule keeps it out.
    fn would_give(
        &mut self,
        place: &RevisionSlot<'_>,
        number: u64,
        how: Number,
    ) -> Result<(Revision, Bound, Option<Share>)> {
        let RevisionSlot {
            name,
            channel,
            arch,
            ..
        } = *place;
        let revision = self.usable(name, number)?;
        let image = self.image(name);
        let highest = image
            .current(channel, arch)
            .max(image.canary(channel, arch));
        let bound = match how {
            Number::Reuse if Some(number) > highest => Bound { number, new: false },
            _ => image.choose(highest.unwrap_or(0), arch, &revision.sha512, how)?,
        };
        let place = RevisionSlot {
            revision: Some(bound.number),
            ..*place
        };
        let share = self.admit(&place, &revision.sha512)?;
        Ok((revision, bound, share))
    }

    /// Gives a channel the bytes of a revision, under its number or another one.
    pub(super) fn give(
        &mut self,
        place: &RevisionSlot<'_>,
        number: u64,
        how: Number,
    ) -> Result<u64> {
        let name = place.name;
        let (mut revision, bound, share) = self.would_give(place, number, how)?;
        revision.created = self.stamp.clone();
        if bound.new {
            let file = std::path::Path::new(&revision.file).file_name();
            revision.file = file.unwrap_or_default().to_string_lossy().into_owned();
        }
        let bound = self.bind(name, bound, revision.clone())?;
        for other in self.image(name).revisions.values_mut() {
            if other.same_bytes(&revision) {
                other.retired = None;
            }
        }
        if bound != number {
            let read = |number| self.state.manifest(name, number);
            let old = read(number).or_else(|error| match revision.same_as {
                Some(older) => read(older).map_err(|_| error),
                None => Err(error),
            });
            if let Err(error) = &old {
                let ui = &self.repository.ui;
                let why = error.message();
                ui.warning(format!("the manifest of {name}@{bound} lacks facts: {why}"));
            }
            self.write_manifest(name, bound, |manifest| {
                Ok(match old {
                    Ok(old) => manifest.made_as(old),
                    Err(_) => manifest,
                })
            })?;
        }
        let place = RevisionSlot {
            revision: Some(bound),
            ..*place
        };
        self.place(&place, share)?;
        Ok(bound)
    }

    /// What the rules of a channel make of the bytes that it gets as a revision, which need not be bound
    /// yet: the share of the machines that gets it first, if that is not everybody.
    ///
    /// # Errors
    /// When a rule keeps it out: nothing is to be bound then.
    pub(super) fn admit(&self, place: &RevisionSlot<'_>, sha512: &str) -> Result<Option<Share>> {
        let rules = self.repository.channels.get(place.channel);
        let new = matches!(place.action, Action::Publish | Action::Promote);
        let (Some(rules), Some(revision), true) = (rules, place.revision, new) else {
            return Ok(None);
        };
        let image = self.state.images.get(place.name);
        let replaces = image.and_then(|image| image.current(place.channel, place.arch));
        let replaced = replaces.and_then(|number| image?.revisions.get(&number));
        rules.admit(&Arrival {
            name: place.name,
            channel: place.channel,
            arch: place.arch,
            revision,
            replaces,
            same: replaced.is_some_and(|replaced| replaced.sha512 == sha512),
        })
    }

    /// Tells what a publication does to a channel that nobody may expect.
    pub(super) fn remark(&self, publication: &Publication<'_>, ui: &Ui) {
        let Publication {
            name,
            channel,
            arch,
            ..
        } = *publication;
        let Some(image) = self.state.images.get(name) else {
            return;
        };
        if let Some(number) = taken_back(image, channel, arch, publication.sha512) {
            ui.warning(format!(
                "`{channel}` gets the bytes of {name}@{number} for {arch} again, which a rollback \
                 had removed: `imgforge repo yank {name}@{number} --why TEXT` keeps them out"
            ));
        }
        let rules = self.repository.channels.get(channel);
        let is_new = image.current(channel, arch).is_none() && image.channels.contains_key(channel);
        if is_new && rules.is_some_and(|rules| rules.canary.is_some()) {
            ui.notice(format!(
                "`{name}` for {arch} is new in `{channel}`: all machines get it, without a canary \
                 first"
            ));
        }
    }

    /// The architectures of which a channel has an image.
    fn architectures(&self, name: &str, channel: &str) -> Result<Vec<String>> {
        let image = self.state.known_image(name)?;
        self.state.known_channel(channel)?;
        let placement = image.channels.get(channel);
        let found: Vec<String> = placement
            .map(|placement| placement.current.keys().cloned().collect())
            .unwrap_or_default();
        if found.is_empty() {
            return Err(
                Error::usage(format!("the channel `{channel}` has no image `{name}`"))
                    .hint("`imgforge channel list` shows what there is"),
            );
        }
        Ok(found)
    }
}

/// A place without a number yet.
fn place<'a>(name: &'a str, channel: &'a str, arch: &'a str, action: Action) -> RevisionSlot<'a> {
    RevisionSlot {
        name,
        channel,
        arch,
        revision: None,
        action,
        from: None,
    }
}
