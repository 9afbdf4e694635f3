//! Everything that a lock names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lock, Record};

/// What it is that a lock names, which says where its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file of a mirror: in the cache of downloads.
    Download,
    /// What a program fetched by a protocol of its own, packed: in the cache of downloads.
    Archive,
    /// An install medium or a disk image: in an entry of the store.
    Medium,
    /// The blob of the published image below: in an entry of the store.
    Parent,
}

/// A content that a lock names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// `sha256:HEX`; of a parent `sha512:HEX`.
    pub digest: String,
    /// Its first address, without user and password; of an archive its name.
    pub url: String,
    /// Its size in bytes, where the lock says.
    pub size: Option<u64>,
}

impl Lock {
    /// Everything that a locked build can ask for: each content once, sorted by kind and digest. What lies
    /// where, `pipeline::lock::place` says.
    pub fn names(&self) -> Vec<Named> {
        let mut all = BTreeMap::new();
        for stage in &self.stages {
            add(&mut all, &stage.record);
        }
        if let Some(parent) = &self.from {
            let (url, size) = match &parent.entry {
                Some(entry) => (entry.url.clone(), entry.size),
                None => (parent.image.clone(), None),
            };
            let digest = format!("sha512:{}", parent.sha512);
            all.insert((Kind::Parent, digest), (url, size));
        }
        listed(all)
    }
}

impl Record {
    /// What a stage fetches by itself, as [`Lock::names`] lists it; without what is made beside it.
    pub fn names(&self) -> Vec<Named> {
        let mut all = BTreeMap::new();
        add_own(&mut all, self);
        listed(all)
    }
}

/// Address and size, by kind and digest.
type Contents = BTreeMap<(Kind, String), (String, Option<u64>)>;

fn listed(all: Contents) -> Vec<Named> {
    let named = |((kind, digest), (url, size))| Named {
        kind,
        digest,
        url,
        size,
    };
    all.into_iter().map(named).collect()
}

fn add(all: &mut Contents, record: &Record) {
    add_own(all, record);
    record.beside.values().for_each(|record| add(all, record));
}

fn add_own(all: &mut Contents, record: &Record) {
    for (kind, files) in [
        (Kind::Download, &record.fetched),
        (Kind::Archive, &record.archives),
        (Kind::Medium, &record.media),
    ] {
        for file in files {
            let digest = format!("sha256:{}", file.sha256);
            let at = all.entry((kind, digest));
            at.or_insert_with(|| (file.url.clone(), Some(file.size)));
        }
    }
}
