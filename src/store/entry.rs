//! A finished stage in the store: what every entry tells, and what only its own stage does.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Key;
use crate::error::Error;
use crate::host::ours;
use crate::store::chain::Bytes;
use crate::store::inputs::Inputs;
use crate::store::{DISK, Store, strays};
use crate::time::now;

/// What every entry tells, whichever stage made it; the head of `meta.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    /// The entry's key.
    pub key: Key,
    /// The image that it was made for first.
    pub image: String,
    /// The stage that made it, as a plan names it: `configure-2`.
    pub stage: String,
    /// The entry whose disk backs this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Key>,
    /// The bytes of its disk and of all below; [`Draft::commit`](super::Draft::commit) fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Bytes>,
    /// Seconds since 1970 at the commit.
    pub created: u64,
    /// Seconds that the stage took.
    pub took: f64,
    /// What the key was made of.
    pub inputs: Inputs,
}

impl Meta {
    /// Of what was made without a disk below, from `began` until now.
    pub fn new(key: Key, image: &str, stage: &str, inputs: Inputs, began: Instant) -> Self {
        Meta {
            key,
            image: image.to_owned(),
            stage: stage.to_owned(),
            parent: None,
            disk: None,
            created: now(),
            took: began.elapsed().as_secs_f64(),
            inputs,
        }
    }

    /// The stage without what tells its parts apart: `configure`, `finish`.
    pub fn kind(&self) -> &str {
        self.stage.split('-').next().unwrap_or(&self.stage)
    }

    /// What to type for another result of the stage.
    pub fn again(&self) -> String {
        let (image, stage) = (&self.image, self.kind());
        format!("`imgforge build {image} --from {stage}` makes it again")
    }
}

/// What a stage reports of its result. The store keeps it beside the result, and gives it back in
/// this very shape or not at all.
pub trait Facts: Serialize + DeserializeOwned {
    /// The stage that reports it.
    const STAGE: &'static str;
    /// Grows when a field means something else under the same name; an entry with another number
    /// is made again.
    const VERSION: u32 = 1;

    /// One line for people, when the stage has finished.
    fn note(&self) -> Option<&str> {
        None
    }
}

/// `meta.json`, to be written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Written<'a, F> {
    #[serde(flatten)]
    meta: &'a Meta,
    facts_version: u32,
    facts: &'a F,
}

impl<'a, F: Facts> Written<'a, F> {
    pub(super) fn new(meta: &'a Meta, facts: &'a F) -> Self {
        let facts_version = F::VERSION;
        Written {
            meta,
            facts_version,
            facts,
        }
    }
}

/// What of `meta.json` only the entry's own stage can read.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Own<F> {
    /// Earlier versions of imgforge did not say it.
    #[serde(default = "first")]
    facts_version: u32,
    facts: F,
}

const fn first() -> u32 {
    1
}

/// Why an entry that is there cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub(super) String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A finished stage in the store.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
}

impl Entry {
    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it knows about itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The disk of a layer.
    pub fn disk(&self) -> PathBuf {
        self.path.join(DISK)
    }

    /// The path of the disk as a draft beside it names it: `../KEY/disk.qcow2`.
    pub fn disk_from_sibling(&self) -> PathBuf {
        Path::new("..").join(self.meta.key.as_str()).join(DISK)
    }

    /// Notes that the entry was used now, for least-recently-used.
    pub fn touch(&self) {
        // A store that we may only read keeps working.
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true);
        drop(ours::no_link(options).open(self.path.join("used")));
    }

    /// When the entry was last used.
    pub fn used(&self) -> SystemTime {
        let used = std::fs::metadata(self.path.join("used")).and_then(|m| m.modified());
        used.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Allocated bytes of its files.
    pub fn allocated(&self) -> u64 {
        strays::allocated(&self.path)
    }
}

/// The result of the stage that reports `F`. Only the store makes one: of an entry that was read or
/// committed with these facts.
#[derive(Debug, Clone)]
pub struct Layer<F> {
    entry: Entry,
    facts: F,
}

impl<F> Layer<F> {
    pub(super) fn new(entry: Entry, facts: F) -> Self {
        Layer { entry, facts }
    }

    /// The entry in the store.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What its stage reported.
    pub fn facts(&self) -> &F {
        &self.facts
    }

    /// The same entry where a later stage takes the result of an earlier one for its own: the
    /// stages say which by `From`.
    pub fn convert<G: From<F>>(self) -> Layer<G> {
        Layer {
            entry: self.entry,
            facts: self.facts.into(),
        }
    }
}

impl Store {
    /// The entry of `key` by its head, if there is one and what lies below it is what it was made on.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.read(key).filter(|entry| self.stands(entry))
    }

    /// The entry of `key`, whatever lies below it.
    pub(super) fn read(&self, key: &Key) -> Option<Entry> {
        self.parse(key).ok().flatten().map(|(entry, _)| entry)
    }

    /// The entry of `key` with the text of its `meta.json`.
    fn parse(&self, key: &Key) -> Result<Option<(Entry, Vec<u8>)>, Unreadable> {
        let path = self.entries().join(key.as_str());
        let unreadable = |cause: &dyn fmt::Display| Unreadable(cause.to_string());
        let text = match std::fs::read(path.join("meta.json")) {
            Err(_) if !path.exists() => return Ok(None),
            text => text.map_err(|cause| unreadable(&cause))?,
        };
        let meta: Meta = serde_json::from_slice(&text).map_err(|cause| unreadable(&cause))?;
        if meta.key != *key {
            return Err(unreadable(&"it says that it has another key"));
        }
        Ok(Some((Entry { path, meta }, text)))
    }

    /// The result of `key`, if there is one and what lies below it is what it was made on.
    ///
    /// # Errors
    /// When there is one whose facts have another shape than this version of imgforge reads: it
    /// counts as missing, and whoever makes it again says so.
    pub fn look<F: Facts>(&self, key: &Key) -> Result<Option<Layer<F>>, Unreadable> {
        let Some((entry, text)) = self.parse(key)?.filter(|(entry, _)| self.stands(entry)) else {
            return Ok(None);
        };
        let facts = facts(&entry.meta, &text)?;
        Ok(Some(Layer::new(entry, facts)))
    }

    /// As [`Store::look`]; what cannot be read counts as missing.
    pub fn get<F: Facts>(&self, key: &Key) -> Option<Layer<F>> {
        self.look(key).ok().flatten()
    }

    /// As [`Store::get`], for who makes what is missing.
    ///
    /// # Errors
    /// When there was one since the build was planned, and `gc` has removed it: other bytes never get
    /// its key.
    pub fn get_unless_lost<F: Facts>(&self, key: &Key) -> crate::error::Result<Option<Layer<F>>> {
        match self.get(key) {
            None if self.was_made(key) => Err(Error::stage(format!(
                "the result of the {} stage that this build was planned with is gone",
                F::STAGE
            ))
            .cause("`imgforge gc`, or somebody else, removed it meanwhile")
            .hint("build again: it is made again, under another key")),
            found => Ok(found),
        }
    }

    /// Whether [`Store::look`] finds something, or the shared store has it.
    ///
    /// # Errors
    /// As there.
    pub fn has<F: Facts>(&self, key: &Key) -> Result<bool, Unreadable> {
        Ok(self.look::<F>(key)?.is_some() || self.is_offered::<F>(key))
    }
}

/// The facts of a `meta.json`.
fn facts<F: Facts>(meta: &Meta, text: &[u8]) -> Result<F, Unreadable> {
    if meta.kind() != F::STAGE {
        let (theirs, ours) = (&meta.stage, F::STAGE);
        return Err(Unreadable(format!(
            "it is of the stage {theirs}, not {ours}"
        )));
    }
    let own: Own<F> =
        serde_json::from_slice(text).map_err(|cause| Unreadable(cause.to_string()))?;
    if own.facts_version != F::VERSION {
        let (theirs, ours) = (own.facts_version, F::VERSION);
        return Err(Unreadable(format!(
            "its facts have version {theirs}, this imgforge reads {ours}"
        )));
    }
    Ok(own.facts)
}

/// Whether this imgforge can read the facts of a `meta.json` that lies elsewhere.
pub(super) fn reads<F: Facts>(meta: &Meta, text: &[u8]) -> Result<(), Unreadable> {
    facts::<F>(meta, text).map(drop)
}

/// A value as JSON for people.
///
/// # Errors
/// When it cannot be written as JSON, which is a bug.
pub fn to_json(value: &impl Serialize) -> crate::error::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|cause| {
        crate::error::Error::internal("a value cannot be written as JSON").cause(cause)
    })
}
