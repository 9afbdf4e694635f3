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
            transaction
                .architectures(name, from)?
                .iter()
                .try_for_each(|arch| transaction.promote_one(name, arch, (from, to)))
        })
        .map_err(|error| error.within(format!("promoting `{name}` to `{to}` failed")))
    }
}

impl Transaction<'_> {
    fn promote_one(&mut self, name: &str, arch: &str, (from, to): (&str, &str)) -> Result<()> {
        let image = self.image(name);
        let Some(source) = image.current(from, arch) else {
            return Ok(());
        };
        // The canary there stands for what the channel will have.
        let target = image.canary(to, arch).or(image.current(to, arch));
        let bytes = |number: u64| image.revisions.get(&number);
        if let (Some(target), Some(source)) = (target.and_then(bytes), bytes(source))
            && target.same_bytes(source)
        {
            return Ok(());
        }
        let place = RevisionSlot {
            from: Some(from),
            ..place(name, to, arch, Action::Promote)
        };
        self.give(&place, source, Number::Reuse).map(drop)
    }
}
