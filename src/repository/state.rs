//! What a repository has, as a value: every image, revision and channel, and how it came about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::channels::{Canary, Placed};

pub(super) const VERSION: u32 = 1;

/// A repository as a whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The directory.
    pub root: PathBuf,
    /// Which repository it is; a copy has the same.
    pub id: String,
    /// Where clients find it, without a slash at the end.
    pub url: String,
    /// The channel whose index lies at the top.
    pub default_channel: String,
    /// The images by name.
    pub images: BTreeMap<String, Image>,
    /// The channels by name; the default one is always there.
    pub channels: BTreeMap<String, Channel>,
}

/// All that happened to one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    pub(super) version: u32,
    pub(crate) name: String,
    /// How many revisions `repo prune` keeps, as the recipe of the last publication says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Every revision that the name ever had; a number is bound to its bytes for ever.
    pub revisions: BTreeMap<u64, Revision>,
    /// What each channel has now.
    #[serde(default)]
    pub channels: BTreeMap<String, Placement>,
    /// What happened, oldest first, in all channels.
    #[serde(default)]
    pub history: Vec<ChannelEvent>,
}

/// One revision of an image for one architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revision {
    /// Architecture of the image.
    pub arch: String,
    /// SHA-512 of the blob, in hex.
    pub sha512: String,
    /// Path of the blob below the root; an older revision's when the bytes are the same.
    pub file: String,
    /// Size of the blob, in bytes.
    pub size: u64,
    /// Size of the disk as a guest sees it, in bytes.
    pub virtual_size: u64,
    pub(crate) image_version: String,
    /// One line for people.
    pub title: String,
    /// Short id in the libosinfo database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osinfo: Option<String>,
    /// The partition that grows with the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<String>,
    /// Text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The files beside the blob, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub companions: BTreeMap<String, CompanionRecord>,
    /// The images below it, as `NAME-VERSION`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_on: Vec<String>,
    /// The older revision with the same bytes, whose files these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// When and by whom the number was allocated.
    pub created: Stamp,
    /// The number is bound, and no more: its publisher is at work still, or was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// It must not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<Stamp>,
    /// `repo prune` has taken it off every list; its files go after a grace period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
    /// Its files are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// A file beside a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CompanionRecord {
    /// Path below the root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, in hex.
    pub sha256: String,
    /// SHA-512, in hex.
    pub sha512: String,
    /// A detached signature lies beside it, `PATH.asc`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// What else is known of it, such as `target` and `format`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, String>,
}

/// What a channel has of one image, by architecture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Placement {
    /// The revision that everybody gets.
    #[serde(default)]
    pub current: BTreeMap<String, u64>,
    /// The revision that a share of the machines gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub canary: BTreeMap<String, Canary>,
}

/// One change of what a channel has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChannelEvent {
    /// The channel that changed.
    pub channel: String,
    /// The architecture.
    pub arch: String,
    /// What was done.
    pub action: Action,
    /// The revision that the channel has since, or has as canary; none when it has nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The revision that everybody got until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<u64>,
    /// The channel that it came from, at a promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When, who, why.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What can happen to an image in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A build was published.
    Publish,
    /// It became the canary.
    Canary,
    /// The canary became what everybody gets.
    Complete,
    /// It came from another channel.
    Promote,
    /// Old bytes came back.
    Rollback,
    /// A revision was yanked, and what it replaced came back.
    Yank,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Publish => "publish",
            Action::Canary => "canary",
            Action::Complete => "complete",
            Action::Promote => "promote",
            Action::Rollback => "rollback",
            Action::Yank => "yank",
        })
    }
}

/// When something happened, who did it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stamp {
    /// When it was done.
    pub when: Timestamp,
    /// Who did it, `USER@HOST`.
    pub who: String,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The commit of the recipe repository; `-dirty` behind it says that files were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Whether a channel may move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Channel {
    /// Nothing may be published to it: since when, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Stamp>,
    /// When it was frozen and thawed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<Frozen>,
}

/// A channel was frozen, or thawed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Frozen {
    /// Frozen, not thawed.
    pub frozen: bool,
    /// When, who, why.
    #[serde(flatten)]
    pub stamp: Stamp,
}

impl Stamp {
    /// Now, by this user on this host.
    pub fn now() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = var("SUDO_USER")
            .or_else(|| var("USER"))
            .or_else(|| var("LOGNAME"))
            .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
        let host = rustix::system::uname();
        Stamp {
            when: Timestamp::now(),
            who: format!("{user}@{}", host.nodename().to_string_lossy()),
            why: None,
            commit: None,
        }
    }

    /// With a reason.
    #[must_use]
    pub fn why(mut self, why: Option<&str>) -> Self {
        self.why = why.map(str::to_owned);
        self
    }

    /// With a commit of the recipe repository.
    #[must_use]
    pub fn commit(mut self, commit: Option<String>) -> Self {
        self.commit = commit;
        self
    }
}

impl Revision {
    /// Whether lists and pages offer it: published, not yanked, not retired, not gone.
    pub fn offered(&self) -> bool {
        !self.pending && self.yanked.is_none() && self.retired.is_none() && self.removed.is_none()
    }

    /// Whether both are the same bytes for the same architecture.
    pub fn same_bytes(&self, other: &Revision) -> bool {
        self.arch == other.arch && self.sha512 == other.sha512
    }
}

impl Image {
    pub(super) fn new(name: &str) -> Self {
        Image {
            version: VERSION,
            name: name.to_owned(),
            keep: None,
            revisions: BTreeMap::new(),
            channels: BTreeMap::new(),
            history: vec![],
        }
    }

    /// The revision that a channel has for an architecture.
    pub fn current(&self, channel: &str, arch: &str) -> Option<u64> {
        self.channels.get(channel)?.current.get(arch).copied()
    }

    /// The revision that a share of a channel's machines gets, for an architecture.
    pub fn canary(&self, channel: &str, arch: &str) -> Option<u64> {
        let canary = self.channels.get(channel)?.canary.get(arch)?;
        Some(canary.revision)
    }

    /// The revisions that were published. What the record says of one that was only bound, nobody
    /// has signed.
    pub fn published(&self) -> impl DoubleEndedIterator<Item = (&u64, &Revision)> + Clone {
        self.revisions.iter().filter(|(_, one)| !one.pending)
    }

    /// Whether it says that it has ever been published: there is a signed list then.
    pub(super) fn is_listed(&self) -> bool {
        !self.channels.is_empty() || !self.history.is_empty() || self.published().next().is_some()
    }

    /// What happened in one channel, oldest first.
    pub fn history_of<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a ChannelEvent> {
        self.history
            .iter()
            .filter(move |moved| moved.channel == channel)
    }

    /// How a channel last got a revision for an architecture.
    pub fn came(&self, channel: &str, arch: &str, number: u64) -> Option<&ChannelEvent> {
        let mut last = self.history.iter().rev();
        last.find(|moved| {
            moved.channel == channel && moved.arch == arch && moved.revision == Some(number)
        })
    }

    /// What a channel has for an architecture, as its rules see it.
    pub fn place(&self, channel: &str, arch: &str) -> Option<Placed> {
        let placement = self.channels.get(channel)?;
        let revision = *placement.current.get(arch)?;
        let came = self.came(channel, arch, revision).map(|moved| &moved.stamp);
        let since = came.or_else(|| Some(&self.revisions.get(&revision)?.created))?;
        Some(Placed {
            revision,
            since: u64::try_from(since.when.as_second()).unwrap_or_default(),
            canary: placement.canary.get(arch).copied(),
        })
    }

    /// The revisions that some channel has now, as canary or for everybody.
    pub fn placed(&self) -> BTreeSet<u64> {
        let placements = self.channels.values();
        placements.flat_map(Placement::revisions).collect()
    }
}

impl Placement {
    /// The revisions that machines get: those for everybody, then the canaries.
    pub fn revisions(&self) -> impl Iterator<Item = u64> {
        let canaries = self.canary.values().map(|canary| canary.revision);
        self.current.values().copied().chain(canaries)
    }
}

impl State {
    /// Whether nothing may be published to a channel.
    pub fn is_frozen(&self, channel: &str) -> bool {
        let channel = self.channels.get(channel);
        channel.is_some_and(|channel| channel.frozen.is_some())
    }

    /// What a channel has: name, placement.
    pub fn placements<'a>(
        &'a self,
        channel: &'a str,
    ) -> impl Iterator<Item = (&'a Image, &'a Placement)> {
        self.images
            .values()
            .filter_map(move |image| Some((image, image.channels.get(channel)?)))
    }

    /// The revisions that were built on an image, given as `NAME-VERSION`; as `NAME@REVISION`.
    pub fn children(&self, below: &str) -> Vec<String> {
        let on = |revision: &Revision| revision.built_on.iter().any(|one| one == below);
        let of = |image: &Image| -> Vec<String> {
            let found = image
                .revisions
                .iter()
                .filter(|(_, revision)| revision.removed.is_none() && on(revision));
            found
                .map(|(number, _)| format!("{}@{number}", image.name))
                .collect()
        };
        self.images.values().flat_map(of).collect()
    }

    /// The path of a channel's index below the root.
    pub fn index_path(&self, channel: &str) -> String {
        super::index_path(&self.default_channel, channel)
    }

    /// The directory of a channel's entry points below the root, with a slash at the end; empty
    /// for the default channel.
    pub fn channel_dir(&self, channel: &str) -> String {
        if channel == self.default_channel {
            String::new()
        } else {
            format!("channels/{channel}/")
        }
    }

    /// The name of an image's entry in a channel's index.
    pub fn entry_id(&self, name: &str, channel: &str) -> String {
        super::entry_id(&self.default_channel, name, channel)
    }
}
