//! Rollback: old bytes come back under a higher number, at once.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::place;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::bind::Number;
use crate::repository::state::{Action, ChannelEvent, Image, Revision, Stamp};
use crate::repository::transaction::Transaction;
use crate::ui::Ui;

impl Repository {
    /// Gives a channel the bytes that it had before, or those of the revision `to`, under a new
    /// number. A canary ends, and everybody gets what most have.
    ///
    /// # Errors
    /// When the channel is frozen, has no such image, or had nothing before.
    pub fn rollback(
        &self,
        name: &str,
        channel: &str,
        to: Option<u64>,
        stamp: &Stamp,
        ui: &Ui,
    ) -> Result<Vec<ChannelEvent>> {
        self.change(name, stamp, ui, |transaction| {
            transaction.refuse_frozen(channel)?;
            let architectures = match to {
                // A yank may have left the channel without the image.
                Some(to) if transaction.had(name, channel) => {
                    vec![transaction.usable(name, to)?.arch]
                }
                _ => {
                    let all = transaction.architectures(name, channel)?;
                    match to {
                        None => transaction.came_last(name, channel, all, ui)?,
                        Some(_) => all,
                    }
                }
            };
            architectures
                .iter()
                .try_for_each(|arch| transaction.roll_back(name, channel, arch, to))
        })
        .map_err(|error| error.within(format!("rolling `{name}` back failed")))
    }
}

impl Transaction<'_> {
    fn had(&self, name: &str, channel: &str) -> bool {
        let image = self.state.images.get(name);
        image.is_some_and(|image| image.history_of(channel).next().is_some())
    }

    /// The architectures that came last, together, and had something before; those that stay are
    /// told. All, when none had anything.
    ///
    /// # Errors
    /// Of kind usage, when none that came last had anything before, and another one had: that is not
    /// what is to be taken back.
    fn came_last(
        &mut self,
        name: &str,
        channel: &str,
        all: Vec<String>,
        ui: &Ui,
    ) -> Result<Vec<String>> {
        let image = self.image(name);
        let goes = |arch: &String| {
            image.canary(channel, arch).is_some() || previous(image, channel, arch).is_some()
        };
        if !all.iter().any(goes) {
            return Ok(all);
        }
        let last = all
            .iter()
            .filter_map(|arch| came(image, channel, arch))
            .max();
        let is_last = |arch: &String| came(image, channel, arch) == last;
        let (newest, older): (Vec<String>, Vec<String>) = all.into_iter().partition(is_last);
        let (go, first): (Vec<String>, Vec<String>) = newest.into_iter().partition(goes);
        if go.is_empty() {
            let archs = first.join(", ");
            let new = first.iter().filter_map(|arch| image.current(channel, arch));
            let yank = new.map(|number| format!("`imgforge repo yank {name}@{number} --why TEXT`"));
            let why = first.iter().map(|arch| lacks(image, channel, arch));
            let why: BTreeSet<String> = why.collect();
            return Err(Error::usage(format!(
                "`{name}` for {archs} came last, and {}",
                why.into_iter().collect::<Vec<_>>().join("; ")
            ))
            .hint(format!(
                "{} takes it out, of every channel and for good; `--to REV` rolls another \
                 architecture back",
                yank.collect::<Vec<_>>().join(" and ")
            )));
        }
        for arch in first {
            let why = lacks(image, channel, &arch);
            ui.notice(format!("`{name}` for {arch} stays: it {why}"));
        }
        for arch in older {
            ui.notice(format!(
                "`{name}` for {arch} stays: it did not come with the last change"
            ));
        }
        Ok(go)
    }

    fn roll_back(&mut self, name: &str, channel: &str, arch: &str, to: Option<u64>) -> Result<()> {
        let image = self.image(name);
        let current = image.current(channel, arch);
        let canary = image.canary(channel, arch);
        let target = match (to, canary) {
            (Some(to), _) => Some(to),
            (None, Some(_)) => current,
            (None, None) => previous(image, channel, arch),
        };
        let target = target.ok_or_else(|| {
            let why = lacks(image, channel, arch);
            Error::usage(format!("`{name}` for {arch} {why}")).hint(format!(
                "`imgforge channel history {name}` shows the revisions that --to can name"
            ))
        })?;
        let bytes = |number: u64| image.revisions.get(&number);
        let same = match (current.and_then(bytes), bytes(target)) {
            (Some(current), Some(target)) => current.same_bytes(target),
            _ => false,
        };
        if same && canary.is_none() {
            return Err(Error::usage(format!(
                "the channel `{channel}` has the bytes of {name}@{target} already"
            )));
        }
        let place = place(name, channel, arch, Action::Rollback);
        self.give(&place, target, Number::Fresh).map(drop)
    }
}

/// The revision whose bytes a channel had before the ones that it has; never one that a rollback
/// took back.
pub(in crate::repository) fn previous(image: &Image, channel: &str, arch: &str) -> Option<u64> {
    let good = |revision: &Revision| revision.yanked.is_none() && revision.removed.is_none();
    let before = before(image, channel, arch);
    before
        .into_iter()
        .find(|number| image.revisions.get(number).is_some_and(good))
}

/// The revisions with other bytes that a channel had before those that it has, the newest first.
fn before(image: &Image, channel: &str, arch: &str) -> Vec<u64> {
    let history = history(image, channel, arch);
    let bytes = |number: u64| bytes(image, number);
    let now = history.last().and_then(|(number, _)| bytes(*number));
    let before = history[..brought(image, &history)].iter().rev();
    let numbers = before.map(|(number, _)| *number);
    numbers.filter(|number| bytes(*number) != now).collect()
}

/// Why there is no [`previous`] one: a sentence's end.
fn lacks(image: &Image, channel: &str, arch: &str) -> String {
    let gone = before(image, channel, arch);
    let Some(last) = gone.first() else {
        return format!("had nothing else in the channel `{channel}` before");
    };
    let yanked = image
        .revisions
        .get(last)
        .is_some_and(|one| one.yanked.is_some());
    let how = if yanked { "was yanked" } else { "was pruned" };
    format!("had revision {last} in the channel `{channel}` before, which {how}")
}

/// The revision by which a channel last had these bytes, if a rollback took it back.
pub(super) fn taken_back(image: &Image, channel: &str, arch: &str, sha512: &str) -> Option<u64> {
    let moved = image.history_of(channel);
    let moved: Vec<&ChannelEvent> = moved.filter(|moved| moved.arch == arch).collect();
    let had = |moved: &&ChannelEvent| moved.revision.and_then(|n| bytes(image, n)) == Some(sha512);
    let last = moved.iter().rposition(had)?;
    let next = moved.get(last + 1)?;
    moved[last]
        .revision
        .filter(|_| next.action == Action::Rollback)
}

/// What a channel had for an architecture, but for canaries: numbers, oldest first.
fn history<'a>(image: &'a Image, channel: &str, arch: &str) -> Vec<(u64, &'a ChannelEvent)> {
    image
        .history
        .iter()
        .filter(|moved| moved.channel == channel && moved.arch == arch)
        .filter(|moved| moved.action != Action::Canary)
        .filter_map(|moved| Some((moved.revision?, moved)))
        .collect()
}

fn bytes(image: &Image, number: u64) -> Option<&str> {
    let revision = image.revisions.get(&number)?;
    Some(&revision.sha512)
}

/// Where in its history the bytes came that a channel has.
fn brought(image: &Image, history: &[(u64, &ChannelEvent)]) -> usize {
    let now = history.last().and_then(|(number, _)| bytes(image, *number));
    let brings = |action| matches!(action, Action::Publish | Action::Promote | Action::Complete);
    // A rollback does not bring bytes: what was before them is what counts.
    let since = |(number, moved): &(u64, &ChannelEvent)| {
        bytes(image, *number) == now && brings(moved.action)
    };
    history.iter().rposition(since).unwrap_or(0)
}

/// When what machines of an architecture have came, or is on trial since: one time for all that a
/// transaction brings.
fn came(image: &Image, channel: &str, arch: &str) -> Option<Timestamp> {
    if let Some(canary) = image.canary(channel, arch) {
        // The first of its moves: what its share was changed to later is no coming.
        let mut all = image.history.iter();
        let canary = all.find(|moved| {
            moved.channel == channel && moved.arch == arch && moved.revision == Some(canary)
        });
        return canary.map(|moved| moved.stamp.when);
    }
    let history = history(image, channel, arch);
    let (_, moved) = history.get(brought(image, &history))?;
    Some(moved.stamp.when)
}
