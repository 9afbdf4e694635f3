//! The canary for everybody, or for a larger share.

use super::place;
use crate::channels::Share;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::state::{Action, ChannelEvent, Stamp};
use crate::repository::transaction::Transaction;
use crate::ui::Ui;

impl Repository {
    /// Gives everybody what a share of the machines tried, or another share of them.
    ///
    /// # Errors
    /// When the channel is frozen, or it has no canary.
    pub fn complete(
        &self,
        name: &str,
        channel: &str,
        share: Option<Share>,
        stamp: &Stamp,
        ui: &Ui,
    ) -> Result<Vec<ChannelEvent>> {
        self.change(name, stamp, ui, |transaction| {
            transaction.refuse_frozen(channel)?;
            let architectures = transaction.architectures(name, channel)?;
            let mut any = false;
            for arch in architectures {
                let Some(canary) = transaction.image(name).canary(channel, &arch) else {
                    continue;
                };
                any = true;
                match share.filter(|share| *share < Share::ALL) {
                    Some(share) => transaction.share(name, channel, &arch, share)?,
                    None => {
                        // Its number is above what everybody has: it stays.
                        let mut place = place(name, channel, &arch, Action::Complete);
                        transaction.usable(name, canary)?;
                        place.revision = Some(canary);
                        transaction.place(&place, None)?;
                    }
                }
            }
            if any {
                return Ok(());
            }
            Err(
                Error::usage(format!("`{channel}` has no canary of `{name}`"))
                    .hint("`imgforge channel list` shows the canaries"),
            )
        })
    }
}

impl Transaction<'_> {
    fn share(&mut self, name: &str, channel: &str, arch: &str, share: Share) -> Result<()> {
        let stamp = self.stamp.clone();
        let image = self.image(name);
        let replaced = image.current(channel, arch);
        let placement = image.channels.entry(channel.to_owned()).or_default();
        let Some(canary) = placement.canary.get_mut(arch) else {
            return Ok(());
        };
        canary.share = share;
        let revision = Some(canary.revision);
        image.history.push(ChannelEvent {
            channel: channel.to_owned(),
            arch: arch.to_owned(),
            action: Action::Canary,
            revision,
            replaced,
            from: None,
            stamp,
        });
        self.sync_index(name, channel)
    }
}
