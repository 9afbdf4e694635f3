//! What a report says of its images, and the last one that this host made.

use std::collections::BTreeSet;
use std::path::Path;

use super::{ImageUpdates, Place, Report};
use crate::error::Result;
use crate::severity::Severity;

/// Where the last report lies, below the state directory.
const LAST: &str = "updates/last.json";

impl ImageUpdates {
    /// How many of the updates are security fixes.
    pub fn security(&self) -> usize {
        self.updates.iter().filter(|update| update.security).count()
    }

    /// How bad the worst vulnerability is that nothing excuses; none where there is none.
    pub fn severity(&self) -> Option<Severity> {
        let counts = self.advisories.iter().filter(|one| one.excuse.is_none());
        counts.map(|one| one.severity).max()
    }

    /// When the oldest update was seen first, seconds since 1970.
    pub fn since(&self) -> Option<u64> {
        self.updates.iter().map(|update| update.since).min()
    }
}

impl Report {
    /// What it says of what a channel has.
    pub fn of(&self, place: &Place) -> Option<&ImageUpdates> {
        self.images.iter().find(|image| image.at == *place)
    }

    /// The last one that was made on this host; none before the first.
    pub fn last(state: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state.join(LAST)).ok()?).ok()
    }

    /// Keeps it as the last one, with what that has of images that were not asked about.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, state: &Path, exists: impl Fn(&Place) -> bool) -> Result<()> {
        let mut whole = self.clone();
        // What was not read is missing for each: of later reports some are about other images.
        for image in &mut whole.images {
            image.unread.extend(self.problems.iter().cloned());
        }
        let asked: BTreeSet<_> = self.images.iter().map(|image| key(&image.at)).collect();
        let before = Report::last(state).unwrap_or_default();
        let others = before.images.into_iter();
        let others = others.filter(|image| !asked.contains(&key(&image.at)) && exists(&image.at));
        whole.images.extend(others);
        whole.images.sort_by(|a, b| a.at.cmp(&b.at));
        let text = serde_json::to_vec(&whole).unwrap_or_default();
        crate::host::durable::write_atomic(&state.join(LAST), &text)
    }
}

/// An image and its place, whichever revision that has.
pub(super) fn key(place: &Place) -> Place {
    Place {
        revision: None,
        ..place.clone()
    }
}
