//! What a channel offers of an image: the revisions that readers can have, with words for them.

use std::collections::BTreeMap;

use crate::repository::state::{CompanionRecord, Image, Revision, State};
use crate::targets::Format;

/// Words of a companion's `about`.
pub(crate) mod word {
    /// Where an artifact runs: `openstack`, `vagrant`, `incus`, `disk`, …
    pub(crate) const TARGET: &str = "target";
    /// What the file is, a [`Format`](crate::targets::Format).
    pub(crate) const FORMAT: &str = "format";
    /// Vagrant's provider.
    pub(crate) const PROVIDER: &str = "provider";
    /// Of a metadata file: SHA-256 of it and the disk together.
    pub(crate) const COMBINED: &str = "combined-sha256";
    /// Of a kernel: its command line.
    pub(crate) const CMDLINE: &str = "cmdline";
    /// The distribution, as `debian`.
    pub(crate) const OS: &str = "os";
    pub(crate) const OS_VERSION: &str = "os-version";
}

/// One image in one channel for one architecture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) image: &'a Image,
    pub(super) channel: &'a str,
    pub(super) arch: &'a str,
    pub(super) number: u64,
    pub(super) revision: &'a Revision,
}

/// What a channel gives everybody, sorted by name and architecture.
pub(super) fn of_channel<'a>(
    state: &'a State,
    channel: &'a str,
) -> impl Iterator<Item = Offer<'a>> {
    state
        .placements(channel)
        .flat_map(move |(image, _)| of_image(image, channel))
}

/// What a channel gives everybody of one image, sorted by architecture.
pub(super) fn of_image<'a>(image: &'a Image, channel: &'a str) -> Vec<Offer<'a>> {
    let current = image
        .channels
        .get(channel)
        .map(|placement| &placement.current);
    let all = current.into_iter().flatten();
    all.filter_map(|(arch, number)| {
        let revision = image
            .revisions
            .get(number)
            .filter(|revision| revision.offered())?;
        let number = *number;
        Some(Offer {
            image,
            channel,
            arch,
            number,
            revision,
        })
    })
    .collect()
}

impl<'a> Offer<'a> {
    /// The day on which the channel got it, `20260131`.
    pub(super) fn day(&self) -> String {
        let came = self.image.came(self.channel, self.arch, self.number);
        let when = came.map_or(self.revision.created.when, |moved| moved.stamp.when);
        when.to_string()
            .chars()
            .take(10)
            .filter(char::is_ascii_digit)
            .collect()
    }

    /// The files that are artifacts, by name.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = (&'a String, &'a CompanionRecord)> {
        self.revision.artifacts()
    }

    /// The first artifact of a format, those for one of these targets first.
    pub(super) fn artifact(&self, format: Format, targets: &[&str]) -> Option<&'a CompanionRecord> {
        let fits = |file: &CompanionRecord, target: &str| {
            file.is(format) && file.word(word::TARGET) == target
        };
        targets.iter().find_map(|target| {
            self.artifacts()
                .map(|(_, file)| file)
                .find(|file| fits(file, target))
        })
    }

    /// The distribution and its version, from the artifacts or the libosinfo id.
    pub(super) fn system(&self) -> (String, String) {
        let words: BTreeMap<&str, &str> = self
            .artifacts()
            .flat_map(|(_, file)| &file.about)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        if let (Some(os), Some(version)) = (words.get(word::OS), words.get(word::OS_VERSION)) {
            return ((*os).to_owned(), (*version).to_owned());
        }
        let id = self.revision.osinfo.as_deref().unwrap_or("linux");
        let split = id.find(|c: char| c.is_ascii_digit()).unwrap_or(id.len());
        (
            id[..split].trim_end_matches('-').to_owned(),
            id[split..].to_owned(),
        )
    }
}

impl Revision {
    /// The files beside the blob that are artifacts: those whose target and format are known.
    pub fn artifacts(&self) -> impl Iterator<Item = (&String, &CompanionRecord)> {
        let known = |file: &CompanionRecord| {
            !file.word(word::TARGET).is_empty() && !file.word(word::FORMAT).is_empty()
        };
        self.companions.iter().filter(move |(_, file)| known(file))
    }

    /// The first file whose name ends so.
    pub fn ending(&self, end: &str) -> Option<&CompanionRecord> {
        let mut all = self.companions.iter();
        all.find(|(name, _)| name.ends_with(end))
            .map(|(_, file)| file)
    }
}

impl CompanionRecord {
    /// Whether it is in this format.
    pub fn is(&self, format: Format) -> bool {
        self.word(word::FORMAT) == format.as_str()
    }

    /// A word about it; empty when nothing is known.
    pub fn word(&self, name: &str) -> &str {
        self.about.get(name).map_or("", String::as_str)
    }
}
