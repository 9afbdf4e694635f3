//! The epochs of what ages, which the builders of a site share.

use super::Remote;
use super::wire::{EPOCH, Manifest};
use crate::digest::Key;
use crate::store::Store;

/// Epochs of clocks that are so much ahead count, in seconds.
const AHEAD: u64 = 300;

impl Store {
    /// The newest epoch that another builder has made of a stage that ages, by the key that it has without.
    pub(in crate::store) fn shared_epoch(&self, of: &Key) -> Option<u64> {
        self.remote()?.epoch(of)
    }
}

impl Remote {
    /// The epoch that the shared store has of a stage, by the key that this has without.
    pub(super) fn epoch(&self, of: &Key) -> Option<u64> {
        if !self.reads() {
            return None;
        }
        let told = match self.registry.manifest(&epoch_tag(of)) {
            Ok(told) => told?,
            Err(error) => {
                self.stop_asking(&error);
                return None;
            }
        };
        let read = Manifest::read(&told, EPOCH, of);
        let epoch = read.and_then(|read| Ok(self.is_signed(&read)?.then(|| read.told_epoch())));
        match epoch {
            Ok(epoch) => epoch
                .flatten()
                .filter(|at| *at <= crate::time::now() + AHEAD),
            Err(why) => {
                let (address, of) = (self.address(), of.short());
                let text =
                    format!("the epoch of {of} in the shared store {address} is not used: {why}");
                self.settings.ui.warning(text);
                None
            }
        }
    }
}

/// How the tags of epochs end.
pub(super) const EPOCH_TAG: &str = ".epoch";

/// The tag of a stage's epoch.
pub(super) fn epoch_tag(of: &Key) -> String {
    format!("{of}{EPOCH_TAG}")
}
