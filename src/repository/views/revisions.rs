//! `images/NAME/revisions.sjson`: what each revision of a name is, signed, so that a client can
//! trust one that no index lists any more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Change, ViewFile};
use crate::channels::Canary;
use crate::error::{Error, Result};
use crate::repository::state::{ChannelEvent, CompanionRecord, Image, Revision};

/// Renders the file of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let file = |image: &Image| {
        let list = RevisionList::new(&change.state.id, image, change.valid_until, change.serial);
        let text = serde_json::to_string_pretty(&list)
            .map_err(|cause| Error::internal("a list of revisions is not JSON").cause(cause))?;
        Ok(ViewFile::new(path(&image.name), text + "\n").clearsigned())
    };
    change.images().map(file).collect()
}

/// Where the list of an image is, below the root.
pub(in crate::repository) fn path(name: &str) -> String {
    format!("images/{name}/revisions.sjson")
}

/// The list of an image. What an older imgforge has not signed yet is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RevisionList {
    #[serde(default)]
    version: u32,
    pub(crate) name: String,
    /// The repository; all that decides whether a revision goes is signed since it is named.
    pub(crate) repository: Option<String>,
    /// The transaction that signed it.
    state: Option<u64>,
    keep: Option<u32>,
    valid_until: Option<String>,
    pub(crate) revisions: BTreeMap<u64, ListedRevision>,
    /// The revision that everybody gets, by channel and architecture.
    #[serde(default)]
    pub(in crate::repository) channels: BTreeMap<String, BTreeMap<String, u64>>,
    canaries: Option<BTreeMap<String, BTreeMap<String, Canary>>>,
    history: Option<Vec<ListedEvent>>,
}

/// What a list says of a revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ListedRevision {
    /// Since imgforge's indexes are made from lists, as `osinfo`, `expand` and `notes`.
    title: Option<String>,
    pub(crate) arch: String,
    pub(crate) file: String,
    pub(crate) size: u64,
    pub(crate) sha512: String,
    pub(crate) format: Option<String>,
    pub(crate) virtual_size: u64,
    pub(crate) image_version: Option<String>,
    created: Option<String>,
    #[serde(default)]
    pub(crate) companions: BTreeMap<String, CompanionRecord>,
    /// Since a list names its repository, as the next two.
    built_on: Option<Vec<String>>,
    retired: Option<String>,
    gone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    osinfo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) yanked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<u64>,
    /// It is on its way out, or gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
}

/// What happened; who did it, and why, is nobody else's business.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ListedEvent {
    channel: String,
    arch: String,
    action: String,
    revision: Option<u64>,
    replaced: Option<u64>,
    when: String,
}

impl RevisionList {
    /// Reads a verified text.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|cause| Error::gate("it is not a list of revisions").cause(cause))
    }

    /// Until when it counts, if it says so. A time that cannot be read is no permission.
    pub(crate) fn valid_until(&self) -> Option<Timestamp> {
        let until = self.valid_until.as_deref();
        until.map(|until| until.parse().unwrap_or(Timestamp::UNIX_EPOCH))
    }

    fn new(id: &str, image: &Image, valid_until: Timestamp, serial: u64) -> Self {
        let channels = image.channels.iter();
        let canaries = channels.clone().filter(|(_, one)| !one.canary.is_empty());
        let revisions = image.published();
        RevisionList {
            version: 1,
            name: image.name.clone(),
            repository: Some(id.to_owned()),
            state: Some(serial),
            keep: image.keep,
            valid_until: Some(format!("{valid_until:.0}")),
            revisions: revisions
                .map(|(number, revision)| (*number, ListedRevision::new(revision)))
                .collect(),
            channels: channels
                .map(|(channel, one)| (channel.clone(), one.current.clone()))
                .collect(),
            canaries: Some(
                canaries
                    .map(|(channel, one)| (channel.clone(), one.canary.clone()))
                    .collect(),
            ),
            history: Some(image.history.iter().map(ListedEvent::new).collect()),
        }
    }

    /// Whether the record of an image in the repository `id` says what this list says, but for what
    /// was only bound.
    ///
    /// A list by an imgforge that did not sign all of this yet says nothing about the rest.
    pub(in crate::repository) fn agrees(&self, id: &str, image: &Image) -> bool {
        let ours = RevisionList::new(id, image, Timestamp::UNIX_EPOCH, 0);
        let whole = self.repository.is_some();
        image.is_borne_out()
            && (&ours.name, &ours.channels) == (&self.name, &self.channels)
            && (self.canaries.is_none() || ours.canaries == self.canaries)
            && (self.history.is_none() || ours.history == self.history)
            && (!whole || (&ours.repository, ours.keep) == (&self.repository, self.keep))
            && ours.revisions.keys().eq(self.revisions.keys())
            && ours
                .revisions
                .values()
                .zip(self.revisions.values())
                .all(|(ours, signed)| {
                    ours.bytes() == signed.bytes()
                        && (signed.title.is_none() || ours.words() == signed.words())
                        && (!whole || ours.fate() == signed.fate())
                })
    }
}

impl ListedRevision {
    fn new(revision: &Revision) -> Self {
        ListedRevision {
            title: Some(revision.title.clone()),
            osinfo: revision.osinfo.clone(),
            expand: revision.expand.clone(),
            notes: revision.notes.clone(),
            arch: revision.arch.clone(),
            file: revision.file.clone(),
            size: revision.size,
            sha512: revision.sha512.clone(),
            format: Some("raw".into()),
            virtual_size: revision.virtual_size,
            image_version: Some(revision.image_version.clone()),
            created: Some(revision.created.when.to_string()),
            companions: revision.companions.clone(),
            yanked: revision
                .yanked
                .as_ref()
                .map(|yanked| yanked.why.clone().unwrap_or_default()),
            same_as: revision.same_as,
            removed: revision.removed.is_some() || revision.retired.is_some(),
            built_on: Some(revision.built_on.clone()),
            retired: revision.retired.map(|when| when.to_string()),
            gone: revision.removed.map(|when| when.to_string()),
        }
    }

    fn bytes(&self) -> impl PartialEq + '_ {
        (
            (
                &self.arch,
                &self.file,
                self.size,
                &self.sha512,
                self.virtual_size,
            ),
            (&self.image_version, &self.created, &self.companions),
            (&self.yanked, self.same_as, self.removed),
        )
    }

    fn words(&self) -> impl PartialEq + '_ {
        (&self.title, &self.osinfo, &self.expand, &self.notes)
    }

    /// What else decides whether it goes.
    fn fate(&self) -> impl PartialEq + '_ {
        (&self.built_on, &self.retired, &self.gone)
    }
}

impl ListedEvent {
    fn new(moved: &ChannelEvent) -> Self {
        ListedEvent {
            channel: moved.channel.clone(),
            arch: moved.arch.clone(),
            action: moved.action.to_string(),
            revision: moved.revision,
            replaced: moved.replaced,
            when: moved.stamp.when.to_string(),
        }
    }
}

impl Image {
    /// Whether all that happened is about revisions that were published, each for its architecture.
    fn is_borne_out(&self) -> bool {
        let published = |number: &u64, arch: &str| {
            let revision = self.revisions.get(number);
            revision.is_some_and(|revision| !revision.pending && revision.arch == arch)
        };
        let mut moved = self.history.iter();
        moved.all(|moved| {
            moved
                .revision
                .is_none_or(|number| published(&number, &moved.arch))
        })
    }
}
