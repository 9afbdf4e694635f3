//! What builds fetch: recorded while they run, written beside a recipe as its lock, and replayed from it.
//!
//! Pure but for the two files: [`FILE`] in the entry of a stage that has fetched, and `NAME.lock`.

mod fetching;
mod file;
mod names;
mod replay;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Key;
use crate::error::{Context as _, Result};
pub use fetching::Fetching;
pub use file::{Lock, Parent, ParentEntry, Stage, digests, is_lock, path, text};
pub use names::{Kind, Named};
pub use replay::{Locked, NOT_LOCKED};

/// The name of a stage's record in its entry.
pub const FILE: &str = "fetched.json";

/// A file that a build fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fetched {
    /// Its address at the mirror, without user and password.
    pub url: String,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The archive that a stage chose among the mirrors, so that nobody has to ask them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirrors {
    /// The address of the archive.
    pub main: String,
    /// That of its security updates, where they have one of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
}

/// What one stage fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// The archive that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<Mirrors>,
    /// The files, by address.
    #[serde(default, with = "by_address", skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Fetched>,
    /// Addresses at which there was nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub absent: BTreeSet<String>,
    /// What nobody could read on its way: hosts of https connections, directories of this host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_locked: BTreeSet<String>,
    /// Install media and disk images, which are entries of the store, by address.
    #[serde(default, with = "by_address", skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Fetched>,
    /// What a program fetched by a protocol of its own, packed into one file of the cache, by name.
    #[serde(default, with = "by_address", skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<Fetched>,
    /// What was made beside the disk and fetches by itself, by name: toolboxes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, Record>,
}

impl Record {
    /// Adds what another one has; of one address the later counts.
    pub fn merge(&mut self, other: Record) {
        let joined = |ours: &mut Vec<Fetched>, theirs: Vec<Fetched>| {
            let all = ours.drain(..).chain(theirs);
            let all: BTreeMap<String, Fetched> = all.map(|one| (one.url.clone(), one)).collect();
            *ours = all.into_values().collect();
        };
        joined(&mut self.fetched, other.fetched);
        joined(&mut self.media, other.media);
        joined(&mut self.archives, other.archives);
        self.beside.extend(other.beside);
        self.absent.extend(other.absent);
        let there: BTreeSet<&str> = self.fetched.iter().map(|one| one.url.as_str()).collect();
        self.absent.retain(|url| !there.contains(url.as_str()));
        self.not_locked.extend(other.not_locked);
        self.mirrors = other.mirrors.or(self.mirrors.take());
    }

    /// What tells it from every other one: a part of the key of a stage that replays it.
    pub fn digest(&self) -> Key {
        Key::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The record in the entry of a stage; none of one that fetches nothing, or of an older imgforge.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(entry: &Path) -> Result<Option<Record>> {
        let path = entry.join(FILE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.doing(|| format!("reading {}", path.display()))?,
        };
        let record = serde_json::from_slice(&text).map_err(std::io::Error::other);
        record
            .map(Some)
            .doing(|| format!("reading {}", path.display()))
    }

    /// Writes the record into the directory that becomes a stage's entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, entry: &Path) -> Result<()> {
        let path = entry.join(FILE);
        let text = serde_json::to_vec(self).unwrap_or_default();
        std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }
}

/// Files as `ADDRESS: "sha256:HEX SIZE"`: a line each, and none twice.
mod by_address {
    use super::*;

    pub(super) fn serialize<S: Serializer>(all: &[Fetched], to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(all.iter().map(|one| (&one.url, content(one))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Fetched>, D::Error> {
        let all = BTreeMap::<String, String>::deserialize(from)?;
        all.into_iter()
            .map(|(url, text)| {
                parse(&url, &text).ok_or_else(|| {
                    D::Error::custom(format!("`{text}` is not `sha256:HEX SIZE` ({url})"))
                })
            })
            .collect()
    }

    fn parse(url: &str, text: &str) -> Option<Fetched> {
        let (sha256, size) = text.strip_prefix("sha256:")?.split_once(' ')?;
        let sha256 = Key::parse(sha256)?.as_str().to_owned();
        let (url, size) = (url.to_owned(), size.parse().ok()?);
        Some(Fetched { url, sha256, size })
    }
}

/// The content of a file as a lock writes it.
fn content(file: &Fetched) -> String {
    format!("sha256:{} {}", file.sha256, file.size)
}

#[cfg(test)]
mod tests;
