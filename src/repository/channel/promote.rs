//! Promotion: another channel gets what one channel has, without a build.

use super::place;
use crate::error::{Error, Result};
use crate::repository::bind::Number;
use crate::repository::state::{Action, ChannelEvent, Stamp};
use crate::repository::transaction::{RevisionSlot, Transaction};
use crate::repository::{Repository, check_name};
use crate::ui::Ui;

impl Repository {
    /// Gives the channel `to` what `from` has of an image, every architecture. The number stays
    /// where it is above what `to` has. Nothing happens, and nothing comes back, when `to` has
    /// the same bytes already.
    ///
    /// # Errors
    /// When `from` has no such image, or `to` is frozen.
    pub fn promote(
        &self,
        name: &str,
        (from, to): (&str, &str),
        stamp: &Stamp,
        ui: &Ui,
    ) -> Result<Vec<ChannelEvent>> {
        check_name("channel", to)?;
        if from == to {
            return Err(
                Error::usage(format!("`{from}` cannot be promoted to itself"))
                    .hint("name the channel to take it from, then the one that gets it"),
            );
        }
        self.change(name, stamp, ui, |transaction| {
            transaction.refuse_frozen(to)?;
            transaction.refuse_clash(name, to)?;
            let all = transaction.architectures(name, from)?;
            let wanted = all.iter().filter_map(|arch| {
                let source = transaction.has_to_give(name, arch, (from, to))?;
                let place = place(name, to, arch, Action::Promote);
                let from = Some(from);
                Some((RevisionSlot { from, ..place }, source))
            });
            let wanted: Vec<(RevisionSlot<'_>, u64)> = wanted.collect();
            // One that is kept out leaves nothing of the others bound.
            for (place, source) in &wanted {
                transaction.would_give(place, *source, Number::Reuse)?;
            }
            for (place, source) in &wanted {
                transaction.give(place, *source, Number::Reuse)?;
            }
            Ok(())
        })
        .map_err(|error| error.within(format!("promoting `{name}` to `{to}` failed")))
    }
}

impl Transaction<'_> {
    /// The revision whose bytes `to` gets; none where it has them.
    fn has_to_give(&mut self, name: &str, arch: &str, (from, to): (&str, &str)) -> Option<u64> {
        let image = self.image(name);
        let source = image.current(from, arch)?;
        // The canary there stands for what the channel will have.
        let target = image.canary(to, arch).or(image.current(to, arch));
        let bytes = |number: u64| image.revisions.get(&number);
        match (target.and_then(bytes), bytes(source)) {
            (Some(target), Some(source)) if target.same_bytes(source) => None,
            _ => Some(source),
        }
    }
}
