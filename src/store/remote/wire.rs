//! An entry of the shared store as a registry keeps it: one image manifest, under the stage's key as its tag.
//!
//! ```text
//! artifactType  application/vnd.imgforge.entry.v1
//! config        meta.json, as the store has it
//! layers        the entry's files, each in one blob or several, in order; small ones lie in `data`, too
//! annotations   the key; of which disk it was made, where it is none; a clear-signed text that names it and the digest of the manifest without this one
//! ```
//!
//! What is signed is what is used: the manifest is read strictly, and written again for its digest. So one
//! request tells that there is an entry, what is in it, and who made it.

use std::path::{Component, Path};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::digest::{Key, Sha256};
use crate::registry::MANIFEST;

/// What an entry is.
pub(super) const ENTRY: &str = "application/vnd.imgforge.entry.v1";

/// What tells the newest epoch of a stage that ages.
pub(super) const EPOCH: &str = "application/vnd.imgforge.epoch.v1";

/// `meta.json`.
const META: &str = "application/vnd.imgforge.meta.v1+json";

/// A part of a file, compressed or as it is.
pub(super) const ZSTD: &str = "application/vnd.imgforge.file.v1+zstd";
pub(super) const PLAIN: &str = "application/vnd.imgforge.file.v1";

/// What stands where there is nothing, as the image specification has it.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Files of so many bytes lie in the manifest, too, which then is all that is asked for.
pub(super) const INLINE: u64 = 32 << 10;

/// `meta.json` has a list of packages at most.
pub(super) const INLINE_META: u64 = 512 << 10;

/// All that lies in one manifest, in bytes, before it is encoded.
pub(super) const INLINE_ALL: u64 = 1 << 20;

/// A file of an entry cannot be larger than any file.
const LARGEST: u64 = i64::MAX as u64;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    pub(super) annotations: Annotations,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Annotations {
    #[serde(rename = "org.imgforge.key")]
    key: Key,
    #[serde(rename = "org.imgforge.epoch", skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// The key of a layer, and the digest of its disk's chain.
    #[serde(
        rename = "org.imgforge.made-of",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) made_of: Option<String>,
    #[serde(
        rename = "org.imgforge.signature",
        skip_serializing_if = "Option::is_none"
    )]
    signature: Option<String>,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    digest: String,
    pub(super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Of>,
}

/// Of which file a blob is a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    #[serde(rename = "org.opencontainers.image.title")]
    name: String,
    /// Its bytes in the file.
    #[serde(rename = "org.imgforge.size")]
    size: String,
}

/// A blob that is a part of a file, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'m> {
    /// The file, a path below the entry.
    pub(super) name: &'m str,
    pub(super) digest: Sha256,
    /// Bytes of the blob.
    pub(super) size: u64,
    /// Bytes in the file.
    pub(super) bytes: u64,
    pub(super) zstd: bool,
    /// The blob, where the manifest has it.
    pub(super) data: Option<Vec<u8>>,
}

impl Descriptor {
    /// A blob that is no file's.
    fn new(media_type: &str, digest: &Sha256, size: u64) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", digest.as_str()),
            size,
            data: None,
            annotations: None,
        }
    }

    fn inlined(mut self, bytes: &[u8]) -> Self {
        self.data = Some(BASE64_STANDARD.encode(bytes));
        self
    }

    /// What stands where there is nothing: its bytes, and what a manifest says of it.
    pub(super) fn empty() -> (Self, &'static [u8]) {
        let bytes = b"{}";
        (
            Self::new(EMPTY, &Sha256::of(bytes), 2).inlined(bytes),
            bytes,
        )
    }

    /// `meta.json`.
    pub(super) fn meta(text: &[u8]) -> Self {
        let own = Self::new(META, &Sha256::of(text), text.len() as u64);
        match text.len() as u64 <= INLINE_META {
            true => own.inlined(text),
            false => own,
        }
    }

    /// A part of a file.
    pub(super) fn part(part: &Part<'_>) -> Self {
        let media_type = if part.zstd { ZSTD } else { PLAIN };
        let own = Self::new(media_type, &part.digest, part.size);
        let mut own = match &part.data {
            Some(bytes) => own.inlined(bytes),
            None => own,
        };
        own.annotations = Some(Of {
            name: part.name.to_owned(),
            size: part.bytes.to_string(),
        });
        own
    }

    /// Its digest.
    pub(super) fn digest(&self) -> Result<Sha256, String> {
        let hex = self.digest.strip_prefix("sha256:");
        hex.and_then(|hex| hex.parse().ok())
            .ok_or_else(|| "a digest in it is not a SHA-256".to_owned())
    }

    /// The blob, where the manifest has it.
    pub(super) fn data(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(data) = &self.data else {
            return Ok(None);
        };
        let bytes = BASE64_STANDARD.decode(data).ok();
        let right = |bytes: &Vec<u8>| {
            bytes.len() as u64 == self.size
                && self.digest().is_ok_and(|own| own == Sha256::of(bytes))
        };
        match bytes.filter(right) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err("what lies in it has another digest".to_owned()),
        }
    }
}

impl Manifest {
    /// Of an entry.
    pub(super) fn entry(key: &Key, meta: Descriptor, parts: Vec<Descriptor>) -> Self {
        let layers = match parts.is_empty() {
            true => vec![Descriptor::empty().0],
            false => parts,
        };
        Self::new(ENTRY, key, meta, layers)
    }

    /// Of a stage's epoch.
    pub(super) fn epoch(of: &Key, epoch: u64) -> Self {
        let (empty, _) = Descriptor::empty();
        let mut own = Self::new(EPOCH, of, empty.clone(), vec![empty]);
        own.annotations.epoch = Some(epoch.to_string());
        own
    }

    fn new(what: &str, key: &Key, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: what.to_owned(),
            config,
            layers,
            annotations: Annotations {
                key: key.clone(),
                epoch: None,
                made_of: None,
                signature: None,
            },
        }
    }

    /// Reads one that was put under `key` as `what`; an error says why it is none.
    pub(super) fn read(bytes: &[u8], what: &str, key: &Key) -> Result<Self, String> {
        let read: Manifest = serde_json::from_slice(bytes)
            .map_err(|cause| format!("it is not an entry of this version of imgforge: {cause}"))?;
        if read.schema_version != 2 || read.media_type != MANIFEST || read.artifact_type != what {
            return Err(format!("it is a {}, not a {what}", read.artifact_type));
        }
        match read.annotations.key == *key {
            true => Ok(read),
            false => Err("it is the entry of another key".to_owned()),
        }
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// The text that is signed.
    pub(super) fn statement(&self) -> String {
        let mut plain = self.clone();
        plain.annotations.signature = None;
        let digest = Sha256::of(&plain.bytes());
        let (key, digest) = (&self.annotations.key, digest.as_str());
        format!("imgforge shared store 1\nkey {key}\nmanifest sha256:{digest}\n")
    }

    /// The clear-signed text.
    pub(super) fn signature(&self) -> Option<&str> {
        self.annotations.signature.as_deref()
    }

    pub(super) fn sign(&mut self, signature: String) {
        self.annotations.signature = Some(signature);
    }

    /// The epoch that it tells.
    pub(super) fn told_epoch(&self) -> Option<u64> {
        self.annotations.epoch.as_ref()?.parse().ok()
    }

    /// The parts of the entry's files, those of one file in order.
    pub(super) fn parts(&self) -> Result<Vec<Part<'_>>, String> {
        let files = self.layers.iter().filter(|layer| layer.media_type != EMPTY);
        files.map(part).collect()
    }
}

fn part(layer: &Descriptor) -> Result<Part<'_>, String> {
    let zstd = match layer.media_type.as_str() {
        ZSTD => true,
        PLAIN => false,
        other => return Err(format!("a part of it is a {other}")),
    };
    let of = layer
        .annotations
        .as_ref()
        .ok_or("a part of it has no name")?;
    let bytes = of.size.parse().ok().filter(|bytes| *bytes <= LARGEST);
    let bytes = bytes.ok_or("a part of it has no size")?;
    if !is_below(&of.name) || (!zstd && bytes != layer.size) {
        return Err(format!(
            "`{}` is not a file of an entry",
            crate::ui::printable(&of.name)
        ));
    }
    Ok(Part {
        name: &of.name,
        digest: layer.digest()?,
        size: layer.size,
        bytes,
        zstd,
        data: layer.data()?,
    })
}

/// Whether a name is that of a file below an entry, and none that the store writes itself.
pub(super) fn is_below(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = parts.all(|part| matches!(part, Component::Normal(_)));
    plain && !["", "meta.json", "used"].contains(&name) && !name.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Key, Manifest) {
        let key = Key::of(b"x");
        let part = Part {
            name: "a/disk.qcow2",
            digest: Sha256::of(b"blob"),
            size: 4,
            bytes: 9,
            zstd: true,
            data: Some(b"blob".to_vec()),
        };
        let layers = vec![Descriptor::part(&part)];
        let manifest = Manifest::entry(&key, Descriptor::meta(b"{}"), layers);
        (key.clone(), manifest.of_disk(&Key::of(b"disk"), "chain"))
    }

    #[test]
    fn an_entry_is_what_was_signed_and_nothing_more() {
        let (key, mut manifest) = sample();
        let statement = manifest.statement();
        manifest.sign("signed".into());
        assert_eq!(
            manifest.statement(),
            statement,
            "the signature is no part of it"
        );
        let text = String::from_utf8(manifest.bytes()).unwrap();
        let read = |text: &str| Manifest::read(text.as_bytes(), ENTRY, &key);
        let back = read(&text).unwrap();
        assert_eq!(back, manifest);
        assert_eq!(back.parts().unwrap()[0].name, "a/disk.qcow2");
        // Whatever is used is in the statement.
        for (from, to) in [
            ("a/disk.qcow2", "b/disk.qcow2"),
            ("\"size\":4", "\"size\":5"),
            ("\"org.imgforge.size\":\"9\"", "\"org.imgforge.size\":\"8\""),
            ("+zstd", ""),
            (" chain", " other"),
            ("sha256:", "sha256:0"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            assert_ne!(read(&other).unwrap().statement(), statement, "{from}");
        }
        for (from, to, why) in [
            ("\"layers\"", "\"subject\":{},\"layers\"", "of this version"),
            ("\"size\":4", "\"size\":4,\"urls\":[]", "of this version"),
            ("entry.v1", "entry.v2", "entry.v2, not"),
        ] {
            let error = read(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let other = Manifest::read(text.as_bytes(), ENTRY, &Key::of(b"y")).unwrap_err();
        assert_eq!(other, "it is the entry of another key");
    }

    #[test]
    fn parts_lie_below_the_entry_and_are_what_the_manifest_has() {
        let (_, manifest) = sample();
        let with = |change: &dyn Fn(&mut Descriptor)| {
            let mut manifest = manifest.clone();
            change(&mut manifest.layers[0]);
            manifest.parts().map(|_| ()).unwrap_err()
        };
        for name in ["../x", "/x", "a/../x", "", "meta.json", "used", "."] {
            let error = with(&|part| part.annotations.as_mut().unwrap().name = name.into());
            assert!(error.contains("not a file of an entry"), "{name}: {error}");
        }
        let other = BASE64_STANDARD.encode("bulb");
        for data in [other.as_str(), "?"] {
            let error = with(&|part| part.data = Some(data.into()));
            assert!(error.contains("another digest"), "{error}");
        }
        with(&|part| part.annotations = None);
        with(&|part| part.digest = "sha512:00".into());
        with(&|part| part.media_type = PLAIN.into());
        with(&|part| part.annotations.as_mut().unwrap().size = "-1".into());
    }
}
