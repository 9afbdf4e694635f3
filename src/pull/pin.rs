//! A published image that others build on, pinned to a revision.

use serde::{Deserialize, Serialize};

use super::{Image, Reference};
use crate::repository::manifest::ParentRecord;

/// A published image that a recipe builds on, in the revision that counts for this build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// How the recipe names it: `REPO#NAME`.
    pub named: Reference,
    /// The channel that the recipe names.
    pub channel: Option<String>,
    /// What the signed index said.
    pub image: Image,
}

impl Pin {
    /// What the manifest of an image says about the one that it was built on.
    pub fn record(&self) -> ParentRecord {
        let image = self.image.clone();
        ParentRecord {
            image: self.named.clone(),
            channel: self.channel.clone(),
            name: image.name,
            revision: image.revision,
            arch: image.arch,
            url: image.url.to_string(),
            sha512: image.sha512,
            image_version: image.version,
        }
    }

    /// `NAME-VERSION`, as repositories know what images are built on; none of others' images.
    pub fn built_on(&self) -> Option<String> {
        let version = self.image.version.as_ref()?;
        let suffix = self.channel.as_ref().map(|channel| format!("-{channel}"));
        let name = &self.image.name;
        let own = suffix.and_then(|suffix| name.strip_suffix(&suffix));
        Some(format!("{}-{version}", own.unwrap_or(name)))
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let channel = self.channel.as_ref();
        let channel = channel.map_or(String::new(), |channel| format!(", channel {channel}"));
        let Pin { named, image, .. } = self;
        let version = image.version.as_deref().unwrap_or("of no imgforge");
        format!("{named}{channel}: revision {}, {version}", image.revision)
    }
}
