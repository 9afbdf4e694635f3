//! What else readers find, derived from the repository's state: pure functions in one table.
//!
//! The transaction calls each of [`VIEWS`] with the state as it will be, signs what is to be
//! signed, verifies it, and replaces the files together with the indexes. That state is a
//! [`VerifiedState`] one: whatever a view makes of it may be signed.

mod boxes;
pub(in crate::repository) mod channels;
mod ipxe;
mod latest;
pub(crate) mod offer;
pub mod packages;
mod page;
pub(crate) mod revisions;
pub(in crate::repository) mod streams;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::state::Image;
use super::vouched::VerifiedState;
use crate::channels::ChannelRules;
use crate::error::Result;
use crate::gpg::Sign;

/// Renders the files that a change concerns.
pub type View = fn(&Change<'_>) -> Result<Vec<ViewFile>>;

/// The views, in the order in which their files are replaced; the indexes follow.
pub const VIEWS: &[View] = &[
    revisions::render,
    channels::render,
    packages::render,
    streams::render,
    boxes::render,
    latest::render,
    ipxe::render,
    page::render,
];

/// What a transaction changes.
#[derive(Debug)]
pub struct Change<'a> {
    /// The repository as it will be.
    pub state: &'a VerifiedState,
    /// The images whose revisions or places change.
    pub names: &'a BTreeSet<String>,
    /// The channels whose entries change, or that are frozen or thawed.
    pub channels: &'a BTreeSet<String>,
    /// Everything is rendered again: another key, another URL.
    pub all: bool,
    pub(crate) when: Timestamp,
    /// After that time it does not count any more.
    pub valid_until: Timestamp,
    /// The number of the transaction.
    pub serial: u64,
    /// Fingerprint of the key that signs.
    pub fingerprint: &'a str,
    /// What is new in the revisions of the images to render, which is read once.
    pub changes: OnceCell<BTreeMap<&'a str, packages::Changes>>,
    /// The rules of channels; a copy knows none.
    pub rules: &'a BTreeMap<String, ChannelRules>,
}

impl<'a> Change<'a> {
    /// The images to render, of which there are records.
    pub fn images(&self) -> impl Iterator<Item = &'a Image> {
        let (state, names) = (self.state, self.names());
        names.filter_map(|name| state.images.get(name))
    }

    /// What is new in the revisions of an image; nothing of one that is not rendered.
    fn changes(&self, image: &Image) -> &packages::Changes {
        static NOTHING: packages::Changes = packages::Changes {
            version: 1,
            name: String::new(),
            revisions: BTreeMap::new(),
        };
        let read = || {
            let images = self.images();
            images
                .map(|image| (image.name.as_str(), packages::changes(self.state, image)))
                .collect()
        };
        let all = self.changes.get_or_init(read);
        all.get(image.name.as_str()).unwrap_or(&NOTHING)
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        let all = self.all.then(|| self.state.images.keys());
        let some = (!self.all).then(|| self.names.iter());
        all.into_iter()
            .flatten()
            .chain(some.into_iter().flatten())
            .map(String::as_str)
    }

    /// The channels to render.
    pub fn channels(&self) -> impl Iterator<Item = &'a str> {
        let all = self.all.then(|| self.state.channels.keys());
        let some = (!self.all).then(|| self.channels.iter());
        all.into_iter()
            .flatten()
            .chain(some.into_iter().flatten())
            .map(String::as_str)
    }
}

/// A file that readers find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewFile {
    /// Path below the root.
    pub path: String,
    /// What it says; none to remove it.
    pub bytes: Option<Vec<u8>>,
    /// How it is signed.
    pub sign: Sign,
}

impl ViewFile {
    /// A file that is not signed.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        ViewFile {
            path: path.into(),
            bytes: Some(bytes.into()),
            sign: Sign::No,
        }
    }

    /// A file that goes.
    pub fn remove(path: impl Into<String>) -> Self {
        ViewFile {
            path: path.into(),
            bytes: None,
            sign: Sign::No,
        }
    }

    /// The file becomes a clear-signed text; the bytes must be UTF-8 and end with a newline.
    #[must_use]
    pub fn clearsigned(mut self) -> Self {
        self.sign = Sign::Clear;
        self
    }

    /// A detached signature lies beside the file.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.sign = Sign::Detached;
        self
    }
}
