//! `images/NAME/REVISION/manifest.json`: what a revision is, how it was made, what the gate found.
//!
//! What another version of imgforge has written beyond this stays as it is when the same bytes get
//! another number.

use std::fmt::Display;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gate::GateReport;
use super::state::{Revision, Stamp, State};
use crate::address;
use crate::digest::Key;
use crate::error::{Error, Result};
use crate::index::Reference;
use crate::lock::Fetched;
use crate::recipe::types::Recipe;
use crate::sbom::Package;
use crate::sbom::diff::Changed;

/// `manifest.json`: how a revision was made, and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// How the image was made.
    #[serde(flatten)]
    pub origin: Origin,
    /// Digest of the sealed disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// What the gate found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Recorded<GateReport>>,
    /// Version of the format.
    pub version: u32,
    /// The image.
    pub name: String,
    /// Its number.
    pub revision: u64,
    pub(crate) image_version: String,
    /// Architecture of the image.
    pub arch: String,
    /// One line for people.
    pub title: String,
    /// Path of the blob below the root.
    pub file: String,
    /// Size of the blob, in bytes.
    pub size: u64,
    /// SHA-512 of the blob, in hex.
    pub sha512: String,
    /// Format of the unpacked blob.
    pub format: String,
    /// Size of the disk as a guest sees it, in bytes.
    pub virtual_size: u64,
    /// When the number was allocated.
    pub published: String,
    /// The commit of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The older revision with the same bytes, whose files these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// What another version has written beyond this.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// How an image was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Origin {
    /// The resolved recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recorded<Recipe>>,
    /// The stages, those of the images below it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Recorded<Vec<StageRecord>>>,
    /// The published image that it was built on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Recorded<ParentRecord>>,
    /// Every file that the installer fetched through the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Recorded<Vec<Fetched>>>,
    /// The lock that the build was bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<Recorded<LockedRecord>>,
    /// What is new since the revision that the channel had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<Recorded<FixesRecord>>,
    /// The version of imgforge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imgforge: Option<String>,
}

/// The lock that a build was bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedRecord {
    /// SHA-256 of its text as imgforge writes it, in hex.
    pub sha256: String,
    /// When what it names was fetched.
    pub clock: String,
    /// Whether indexes of mirrors were refused that are over by their `Valid-Until`.
    pub judged_valid_until: bool,
}

/// What is new in an image since another revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FixesRecord {
    /// That revision.
    pub since: u64,
    /// Packages that only the new one has.
    pub added: Vec<Package>,
    /// Packages of other versions.
    pub updated: Vec<Changed>,
    /// Packages that only the old one has.
    pub removed: Vec<Package>,
    /// Identifiers of the advisories about the old one's packages that are not about the new one's; none where
    /// imgforge.yaml names no advisories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// A stage of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    pub(crate) image: String,
    /// The stage's label.
    pub stage: String,
    pub(crate) key: Key,
}

/// The published image that another one was built on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ParentRecord {
    /// How the recipe names it: `REPO#NAME`.
    pub image: Reference,
    /// The channel that the recipe names.
    pub channel: Option<String>,
    /// The name of its entry in the index.
    pub name: String,
    pub(crate) revision: u64,
    /// Its architecture.
    pub arch: String,
    /// Where its blob is.
    pub url: String,
    /// SHA-512 of the blob, in hex.
    pub sha512: String,
    /// `IMAGE_VERSION`; none of others' images.
    pub image_version: Option<String>,
}

/// A part of a manifest, as some version of imgforge has written it: with what this one does not
/// know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Recorded<T> {
    json: Value,
    #[serde(skip)]
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize> Recorded<T> {
    /// What everybody may read of a value: its addresses without passwords.
    ///
    /// # Errors
    /// When it does not fit into JSON.
    pub fn new(value: &T) -> Result<Self> {
        let mut json = serde_json::to_value(value)
            .map_err(|cause| Error::internal("a value does not fit into JSON").cause(cause))?;
        address::hide_all(&mut json);
        Ok(Recorded {
            json,
            kind: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Recorded<T> {
    /// The value, as this version knows it.
    ///
    /// # Errors
    /// When a version with another idea of it has written it.
    pub fn read(&self) -> Result<T> {
        T::deserialize(&self.json).map_err(|cause| {
            Error::gate("this version of imgforge does not know a part of the manifest")
                .cause(cause)
        })
    }
}

impl Manifest {
    /// What a revision says of itself.
    pub(super) fn new(name: &str, number: u64, revision: &Revision, stamp: &Stamp) -> Self {
        Manifest {
            origin: Origin::default(),
            sealed: None,
            gate: None,
            version: 1,
            name: name.to_owned(),
            revision: number,
            image_version: revision.image_version.clone(),
            arch: revision.arch.clone(),
            title: revision.title.clone(),
            file: revision.file.clone(),
            size: revision.size,
            sha512: revision.sha512.clone(),
            format: "raw".into(),
            virtual_size: revision.virtual_size,
            published: stamp.when.to_string(),
            commit: stamp.commit.clone(),
            same_as: revision.same_as,
            more: Map::new(),
        }
    }

    /// With what the manifest `other`, of the same bytes under another number, says of their making.
    pub(super) fn made_as(self, other: Manifest) -> Self {
        Manifest {
            origin: other.origin,
            sealed: other.sealed,
            gate: other.gate,
            commit: self.commit.or(other.commit),
            more: other.more,
            ..self
        }
    }
}

/// Which bytes a manifest is about, whatever else its version of imgforge says of them.
#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    revision: u64,
    file: String,
    sha512: String,
}

impl Subject {
    /// Whether these are the bytes of this revision.
    pub(super) fn is(&self, number: u64, file: &str, sha512: &str) -> bool {
        self.revision == number && self.file == file && self.sha512 == sha512
    }
}

impl State {
    /// Reads the manifest of a revision.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn manifest(&self, name: &str, number: u64) -> Result<Manifest> {
        let path = path(name, number);
        parse(&self.root.join(&path), &self.read_file(&path)?)
    }
}

/// Reads the manifest that was found at `path`, or a part of it.
///
/// # Errors
/// When it is none.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        Error::gate(format!("{} is damaged", path.display()))
            .cause(cause)
            .hint("`imgforge repo verify` shows what else is")
    })
}

/// Where the manifest of a revision is, below the root.
pub(super) fn path(name: &str, number: impl Display) -> String {
    format!("{}/manifest.json", revision_dir(name, number))
}

/// Where the files of a revision are, below the root.
pub(super) fn revision_dir(name: &str, number: impl Display) -> String {
    format!("images/{name}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_under_another_number_are_made_as_before_by_whatever_version() {
        let written = r#"{
  "recipe": {
    "name": "a",
    "quantum": true
  },
  "stages": [
    {
      "image": "a",
      "stage": "seal",
      "key": "k",
      "cost": 3
    }
  ],
  "imgforge": "9.0.0",
  "sealed": "s",
  "gate": {
    "passed": "thrice"
  },
  "version": 1,
  "name": "a",
  "revision": 1,
  "image-version": "0123456789ab",
  "arch": "x86_64",
  "title": "A",
  "file": "images/a/1/a.xz",
  "size": 1,
  "sha512": "b",
  "format": "raw",
  "virtual-size": 2,
  "published": "2026-01-01T00:00:00Z",
  "commit": "c",
  "rating": {
    "stars": 5
  }
}"#;
        let old: Manifest = serde_json::from_str(written).unwrap();
        let text = |manifest: &Manifest| serde_json::to_string_pretty(manifest).unwrap();
        assert_eq!(text(&old), written);
        let number: Manifest = Manifest {
            origin: Origin::default(),
            sealed: None,
            gate: None,
            revision: 4,
            title: "B".into(),
            commit: None,
            same_as: Some(1),
            more: Map::new(),
            ..old.clone()
        };
        let expected = written
            .replace("\"revision\": 1", "\"revision\": 4")
            .replace("\"A\"", "\"B\"")
            .replace("\"c\",", "\"c\",\n  \"same-as\": 1,");
        assert_eq!(text(&number.made_as(old.clone())), expected);
        // What this version does not understand is an error, and not nothing.
        assert!(old.gate.unwrap().read().is_err());
        assert!(old.origin.stages.unwrap().read().is_ok());
    }

    #[test]
    fn nobody_reads_a_password_of_a_recipe() {
        let recorded = Recorded::new(&vec!["https://me:secret@host/x"]).unwrap();
        let text = serde_json::to_string(&recorded).unwrap();
        assert!(
            !text.contains("secret") && text.contains("host/x"),
            "{text}"
        );
    }
}
