//! What is published, and the proof without which nothing is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::gate::GateProof;
use super::incoming::Incoming;
use super::manifest::{Manifest, Origin, Recorded};
use super::state::{Action, Revision};
use super::transaction::RevisionSlot;
use super::{Stamp, check_name};
use crate::error::{Error, Result};
use crate::units::Size;

/// One image for one architecture, to be published to one channel.
#[derive(Debug, Clone)]
pub struct Publication<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The channel it goes to.
    pub channel: &'a str,
    /// Architecture in the kernel's spelling: `x86_64`, `aarch64`.
    pub arch: &'a str,
    /// `IMAGE_VERSION`: the first digits of the seal stage's key; part of the blob's file name.
    pub version: &'a str,
    /// The packed disk.
    pub xz: PathBuf,
    /// Size of the packed disk.
    pub size: Size,
    /// SHA-512 of the packed disk, in hex.
    pub sha512: &'a str,
    /// Size of the disk as a guest sees it.
    pub virtual_size: Size,
    /// The digest of the sealed disk that was packed; the gate's proof must be about the same.
    pub sealed: &'a str,
    /// The proof that the gate passed.
    pub gate: &'a GateProof,
    /// One line for people.
    pub title: &'a str,
    /// Short id in the libosinfo database, if there is one.
    pub osinfo: Option<&'a str>,
    /// The partition that grows with the disk, as `/dev/sda3`.
    pub expand: Option<&'a str>,
    /// Text for people, possibly of several lines.
    pub notes: Option<&'a str>,
    /// How it was made, for the manifest.
    pub origin: Origin,
    /// Other files that lie beside the blob.
    pub companions: Vec<Companion>,
    /// The images below it, as `NAME-VERSION`.
    pub built_on: Vec<String>,
    /// How many revisions `repo prune` keeps, as the recipe says.
    pub keep: Option<u32>,
    /// When, who, why, and from which commit.
    pub stamp: Stamp,
}

/// A file that lies beside the blob and is as immutable: SBOM, provenance, another format.
#[derive(Debug, Clone)]
pub struct Companion {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) signed: bool,
    pub(super) about: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Publication<'_> {
    /// Refuses names that nobody can have, and a proof about another disk.
    pub(super) fn check(&self) -> Result<()> {
        for (what, value) in [
            ("image", self.name),
            ("channel", self.channel),
            ("version", self.version),
        ] {
            check_name(what, value)?;
        }
        let blob = self.file_name();
        for companion in &self.companions {
            let name = &companion.name;
            check_name("file", name)?;
            let taken = [blob.as_str(), "manifest.json"].contains(&name.as_str());
            let twice = self.companions.iter().filter(|other| other.name == *name);
            if taken || twice.count() > 1 {
                return Err(Error::internal(format!(
                    "there are two files `{name}` beside the blob"
                )));
            }
        }
        if self.gate.sealed() != self.sealed {
            return Err(Error::gate("the gate has passed for another disk")
                .cause(format!("it tested {}", self.gate.sealed()))
                .cause(format!("this is {}", self.sealed))
                .hint("`imgforge build NAME --from check` tests this one"));
        }
        Ok(())
    }

    /// Where it goes, as a revision.
    pub(super) fn slot(&self, number: u64) -> RevisionSlot<'_> {
        RevisionSlot {
            name: self.name,
            channel: self.channel,
            arch: self.arch,
            revision: Some(number),
            action: Action::Publish,
            from: None,
        }
    }

    /// The revision as it is before it has a number: `file` is a name only.
    pub(super) fn revision(&self, incoming: Option<&Incoming>) -> Revision {
        Revision {
            arch: self.arch.to_owned(),
            sha512: self.sha512.to_owned(),
            file: self.file_name(),
            size: self.size.as_bytes(),
            virtual_size: self.virtual_size.as_bytes(),
            image_version: self.version.to_owned(),
            title: self.title.trim().to_owned(),
            osinfo: self.osinfo.map(str::to_owned),
            expand: self.expand.map(str::to_owned),
            notes: self.notes.map(str::to_owned),
            companions: incoming.map(Incoming::companions).unwrap_or_default(),
            built_on: self.built_on.clone(),
            same_as: None,
            pending: false,
            created: self.stamp.clone(),
            yanked: None,
            retired: None,
            removed: None,
        }
    }

    /// The manifest, with how the image was made, and what the gate found.
    pub(super) fn describe(&self, manifest: Manifest) -> Result<Manifest> {
        Ok(Manifest {
            origin: self.origin.clone(),
            sealed: Some(self.sealed.to_owned()),
            gate: Some(Recorded::new(self.gate.report())?),
            ..manifest
        })
    }

    /// The name of the blob.
    pub(super) fn file_name(&self) -> String {
        format!("{}-{}.xz", self.name, self.version)
    }
}

impl Companion {
    /// A copy of the file `path`, named `name` in the revision's directory.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Companion {
            name: name.into(),
            source: Source::File(path.into()),
            signed: false,
            about: BTreeMap::new(),
        }
    }

    /// A new file.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Companion {
            name: name.into(),
            source: Source::Bytes(bytes.into()),
            signed: false,
            about: BTreeMap::new(),
        }
    }

    /// Tells more about it, such as `target` and `format`, to what is derived from the state.
    #[must_use]
    pub fn about<K: Into<String>, V: Into<String>>(
        mut self,
        words: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let words = words
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        self.about.extend(words);
        self
    }

    /// A detached signature lies beside it, `NAME.asc`.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.signed = true;
        self
    }
}

/// What [`Repository::publish`](super::Repository::publish) did with one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The image's revision.
    pub revision: u64,
    /// Where the packed disk is, as a client sees it.
    pub url: String,
    /// The name under which virt-builder lists it.
    pub entry: String,
    /// Whether anything changed: the same bytes are published only once.
    pub changed: bool,
}
