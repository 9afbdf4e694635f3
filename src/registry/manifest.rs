//! Manifests of artifacts, as the image specification has them
//! (<https://github.com/opencontainers/image-spec/blob/main/manifest.md>): what other programs write beyond
//! this is left aside.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::{INDEX, MANIFEST};
use crate::digest::Sha256;

/// What stands where there is nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The content of what is empty.
pub const EMPTY_BYTES: &[u8] = b"{}";

/// The name of a file, in a descriptor's annotations.
const TITLE: &str = "org.opencontainers.image.title";

/// What a file is for, in a descriptor's annotations.
const ROLE: &str = "org.imgforge.role";

/// The role of a channel's signed index, wherever that lies in the repository.
pub const CHANNEL_INDEX: &str = "index";

/// What a manifest says of a blob, or of another manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Of its content.
    pub media_type: String,
    /// What another manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    digest: String,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of a blob of `size` bytes.
    pub fn new(media_type: &str, digest: &Sha256, size: u64) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            artifact_type: None,
            digest: format!("sha256:{}", digest.as_str()),
            size,
            data: None,
            annotations: BTreeMap::new(),
        }
    }

    /// What stands where there is nothing; its blob is [`EMPTY_BYTES`].
    pub fn empty() -> Self {
        let digest = Sha256::of(EMPTY_BYTES);
        Self::new(EMPTY, &digest, EMPTY_BYTES.len() as u64).inlined(EMPTY_BYTES)
    }

    /// Of the file `title`.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        self.annotations.insert(TITLE.into(), title.to_owned());
        self
    }

    /// As what a program looks for, whatever the file is called.
    #[must_use]
    pub fn in_role(mut self, role: &str) -> Self {
        self.annotations.insert(ROLE.into(), role.to_owned());
        self
    }

    /// With the blob itself, so that nobody has to ask for it.
    #[must_use]
    pub fn inlined(mut self, bytes: &[u8]) -> Self {
        self.data = Some(BASE64_STANDARD.encode(bytes));
        self
    }

    /// The name of the file that it is of.
    pub fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }

    /// The digest; none where it is of another kind than SHA-256.
    pub fn digest(&self) -> Option<Sha256> {
        self.digest.strip_prefix("sha256:")?.parse().ok()
    }

    /// The blob, where the manifest has it, and has it right.
    pub fn data(&self) -> Option<Vec<u8>> {
        let bytes = BASE64_STANDARD.decode(self.data.as_ref()?).ok()?;
        (self.digest()? == Sha256::of(&bytes)).then_some(bytes)
    }
}

/// A manifest of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    media_type: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its files.
    pub layers: Vec<Descriptor>,
    /// The manifest that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Of an artifact without a configuration.
    pub fn artifact(what: &str, layers: Vec<Descriptor>) -> Self {
        Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: Some(what.to_owned()),
            config: Descriptor::empty(),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// With what else is known of it.
    #[must_use]
    pub fn annotated<'a>(mut self, more: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let more = more.into_iter().filter(|(_, text)| !text.is_empty());
        self.annotations
            .extend(more.map(|(name, text)| (name.to_owned(), text)));
        self
    }

    /// Reads one; none where it is something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let read: Manifest = serde_json::from_slice(bytes).ok()?;
        (read.schema_version == 2 && read.media_type == MANIFEST).then_some(read)
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// What another one says of it.
    pub fn descriptor(&self) -> Descriptor {
        let bytes = self.bytes();
        let own = Descriptor::new(MANIFEST, &Sha256::of(&bytes), bytes.len() as u64);
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            ..own
        }
    }

    /// The file with a name.
    pub fn titled(&self, title: &str) -> Option<&Descriptor> {
        let mut layers = self.layers.iter();
        layers.find(|layer| layer.title() == Some(title))
    }

    /// The file that is for this.
    pub fn by_role(&self, role: &str) -> Option<&Descriptor> {
        let mut layers = self.layers.iter();
        layers.find(|layer| layer.annotations.get(ROLE).is_some_and(|own| own == role))
    }
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

impl Index {
    pub(super) fn new() -> Self {
        Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: vec![],
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let read: Index = serde_json::from_slice(bytes).ok()?;
        (read.media_type == INDEX).then_some(read)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_without_what_others_add() {
        let file = Descriptor::new("text/plain", &Sha256::of(b"x"), 1);
        let mut own = Manifest::artifact("application/x", vec![file.titled("a/b").inlined(b"x")]);
        own.subject = Some(Descriptor::empty());
        let text = String::from_utf8(own.bytes()).unwrap();
        let more = text.replacen("\"size\":1", "\"urls\":[],\"size\":1", 1);
        assert_ne!(text, more);
        let read = Manifest::read(more.as_bytes()).unwrap();
        assert_eq!(read, own);
        assert_eq!(read.titled("a/b").unwrap().data().unwrap(), b"x");
        assert_eq!(read.titled("b"), None);
        let poisoned = text.replacen("eA==", "eQ==", 1);
        let poisoned = Manifest::read(poisoned.as_bytes()).unwrap();
        assert_eq!(poisoned.titled("a/b").unwrap().data(), None);
        for other in ["{}", "", &text.replacen("manifest.v1", "manifest.v2", 1)] {
            assert_eq!(Manifest::read(other.as_bytes()), None, "{other}");
        }
    }
}
