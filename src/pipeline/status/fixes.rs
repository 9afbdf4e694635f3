//! The fixes that wait for what channels have.

use serde::Serialize;

use super::ImageStatus;
use crate::pipeline::{Session, whole};
use crate::time::now;
use crate::units::age;
use crate::updates::{ImageUpdates, Place, Report};

/// Fixes that wait for what a channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaitingFixes {
    /// When somebody looked, seconds since 1970.
    pub at: u64,
    /// How many packages would be newer.
    pub updates: u64,
    /// How many of them are security fixes.
    pub security: u64,
    /// When the oldest was seen first, seconds since 1970.
    pub since: Option<u64>,
    /// How many things could not be judged: there may be more fixes.
    pub unread: u64,
}

impl WaitingFixes {
    fn of(image: &ImageUpdates) -> Self {
        WaitingFixes {
            at: image.looked,
            updates: image.updates.len() as u64,
            security: image.security() as u64,
            since: image.since(),
            unread: image.unread.len() as u64,
        }
    }

    fn note(&self, now: u64) -> Option<String> {
        if self.unread > 0 && self.updates == 0 {
            return Some(
                "nobody knows whether fixes wait: `imgforge updates` says what is missing"
                    .to_owned(),
            );
        }
        let (waits, looked) = (now.saturating_sub(self.since?), now.saturating_sub(self.at));
        let (updates, security) = (self.updates, self.security);
        Some(format!(
            "{updates} fixes wait, {security} of them for security, the oldest for {}; looked for {} ago",
            age(waits),
            age(looked)
        ))
    }
}

/// Adds what `imgforge updates` found when it looked last.
pub(super) fn add(session: &Session, images: &mut [ImageStatus]) {
    let Some(last) = Report::last(session.store.planned_in()) else {
        return;
    };
    for image in images {
        for place in &mut image.places {
            let at = Place {
                image: whole::name(&image.image).to_owned(),
                arch: place.arch.clone(),
                repository: place.repository.clone(),
                channel: place.channel.clone(),
                revision: Some(place.revision),
                canary: false,
            };
            place.fixes = last.of(&at).map(WaitingFixes::of);
            let note = place.fixes.and_then(|fixes| fixes.note(now()));
            place.notes.extend(note);
        }
    }
}
