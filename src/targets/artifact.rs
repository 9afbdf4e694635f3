//! The files that targets make, and what is recorded of each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{PassedCheck, Proof};
use crate::digest;
use crate::error::Result;
use crate::host::interrupt;

/// Makes [`Format`] of lines with the word that records and events have.
macro_rules! formats {
    ($($name:ident = $word:literal;)+) => {
        /// What a file is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Format {
            $(#[doc = $word] #[serde(rename = $word)] $name,)+
        }

        impl Format {
            /// The word in records and events, such as `qcow2`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Format::$name => $word,)+ }
            }
        }
    };
}

formats! {
    Raw = "raw";
    Qcow2 = "qcow2";
    Vmdk = "vmdk";
    Vhd = "vhd";
    Ova = "ova";
    Gcp = "gcp";
    OciArchive = "oci-archive";
    OciIndex = "oci-index";
    ContainerDisk = "containerdisk";
    Rootfs = "rootfs";
    OpenstackManifest = "openstack-manifest";
    VagrantBox = "box";
    Kernel = "kernel";
    Initrd = "initrd";
    Squashfs = "squashfs";
    Sha256sums = "sha256sums";
    Ipxe = "ipxe";
    Grub = "grub";
    RamdiskManifest = "ramdisk-manifest";
    ProxmoxScript = "proxmox-script";
    IncusMetadata = "incus-metadata";
    Wsl = "wsl";
}

/// A file that a target made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFile {
    /// Its name in [`TargetContext::dir`](super::TargetContext::dir).
    pub file: String,
    format: Format,
    pub(super) about: BTreeMap<String, String>,
    proof: Vec<PassedCheck>,
}

impl MadeFile {
    /// A file, and what was proven of it.
    pub(super) fn new(file: impl Into<String>, format: Format, proof: Vec<PassedCheck>) -> Self {
        MadeFile {
            file: file.into(),
            format,
            about: BTreeMap::new(),
            proof,
        }
    }

    /// Adds what readers of a repository are told of it beside target and format.
    #[must_use]
    pub(super) fn about<K: Into<String>, V: Into<String>>(
        mut self,
        words: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let words = words.into_iter();
        self.about
            .extend(words.map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// What a stage reports of it. It lies in `dir`, and was made of the disk with the digest `sealed`, if it is
    /// one of a recipe's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(self, target: &str, dir: &Path, sealed: Option<&str>) -> Result<ArtifactRecord> {
        interrupt::check()?;
        let sha512 = digest::file_sha512(&dir.join(&self.file))?;
        Ok(ArtifactRecord {
            proof: sealed.map(|sealed| Proof::new(&sha512, sealed, self.proof)),
            file: self.file,
            sha512,
            about: Description {
                target: target.to_owned(),
                format: self.format,
                more: self.about,
            },
        })
    }
}

/// One artifact in a stage's facts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Its name in the stage's entry.
    pub file: String,
    /// Its SHA-512, in hex.
    pub sha512: String,
    /// What it is, and where it runs.
    pub about: Description,
    /// What its gate proved.
    #[serde(deserialize_with = "Option::deserialize")]
    pub proof: Option<Proof>,
}

/// What is known of an artifact: in an entry of the store and in a repository one object of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The target; `disk` of what `publish: {streams: true}` makes.
    pub target: String,
    pub(crate) format: Format,
    /// The rest, such as `os` and `provider`.
    #[serde(flatten)]
    pub more: BTreeMap<String, String>,
}

impl Description {
    /// All of it, as a repository tells its readers.
    pub fn words(&self) -> BTreeMap<String, String> {
        let mut words = self.more.clone();
        words.insert("target".into(), self.target.clone());
        words.insert("format".into(), self.format.as_str().into());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the store's entries have it since the first version.
    const OLD: &str = r#"{"file": "web.qcow2", "sha512": "b", "about": {"format": "qcow2",
        "min-disk": "3", "os": "debian", "os-version": "13", "target": "openstack"}"#;

    #[test]
    fn a_record_says_what_the_file_is_and_whether_anything_was_proven_of_it() {
        let record =
            |proof: &str| serde_json::from_str::<ArtifactRecord>(&format!("{OLD}{proof}}}"));
        let proof = r#", "proof": {"sha512": "b", "sealed": "c", "proven": []}"#;
        assert!(record(proof).unwrap().proof.is_some());
        let bare = record(r#", "proof": null"#).unwrap();
        assert!(bare.proof.is_none());
        record("").unwrap_err();
        assert_eq!(bare.about.target, "openstack");
        assert_eq!(bare.about.format, Format::Qcow2);
        let old: serde_json::Value = serde_json::from_str(&format!("{OLD}}}")).unwrap();
        assert_eq!(serde_json::json!(bare.about), old["about"]);
        assert_eq!(serde_json::json!(bare.about.words()), old["about"]);
        let unknown = OLD.replace(r#""format": "qcow2""#, r#""format": "qcow9""#);
        serde_json::from_str::<ArtifactRecord>(&format!(r#"{unknown}, "proof": null}}"#))
            .unwrap_err();
    }
}
