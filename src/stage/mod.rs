//! The stages: each maps immutable inputs to one immutable output, in a private directory.

pub mod check;
pub mod configure;
pub mod finish;
mod inputs;
pub mod install;
pub mod pack;
pub mod plan;
pub mod publish;
pub mod seal;
mod table;

use std::path::{Path, PathBuf};

use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::host::qemu_img;
use crate::hypervisor::Host;
use crate::lock::Fetching;
use crate::proxy;
use crate::recipe::types::Recipe;
use crate::recipe::{Config, Resolved};
pub use crate::repository::Published;
use crate::stage::seal::Sealed;
use crate::store::files::Files;
use crate::store::media::Media;
use crate::store::{DISK, Entry, Facts, Layer, Store};
use crate::targets::ArtifactRecord;
use crate::ui::StageUi;
pub use table::{Stage, StageId};

/// What a stage works with.
#[derive(Debug)]
pub struct Context<'a> {
    /// Who draws what happens; also the stage's log.
    pub ui: &'a StageUi,
    /// The recipe. Steps read no file of its repository by it: see `files`.
    pub resolved: &'a Resolved,
    /// The files that the stage's key was made of.
    pub files: &'a Files,
    /// imgforge.yaml.
    pub config: &'a Config,
    /// What the stage fetches, and may fetch.
    pub fetching: &'a Fetching,
    /// How this machine runs guests.
    pub host: &'a Host,
    /// The private directory that becomes the entry.
    pub dir: &'a Path,
    /// Where logs and evidence stay when the stage fails.
    pub logs: &'a Path,
    /// The stage's name in the plan.
    pub label: String,
    /// The stage's key.
    pub key: Key,
    /// What a build of the same recipe has, too, however it was fetched: what names derive from that a lock
    /// does not know.
    pub seed: Key,
    /// `IMAGE_VERSION` of the image.
    pub version: &'a str,
}

impl Context<'_> {
    /// The recipe's content.
    pub fn recipe(&self) -> &Recipe {
        &self.resolved.recipe
    }

    /// Makes a directory for what the stage needs only while it works, below the draft.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        let made = tempfile::Builder::new()
            .prefix("scratch-")
            .tempdir_in(self.dir);
        made.doing(|| format!("making a directory in {}", self.dir.display()))
    }

    /// Where media come from and go to; `cache` is [`Context::cache`].
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn media<'s>(&'s self, store: &'s Store, cache: &'s proxy::Cache) -> Result<Media<'s>> {
        Ok(Media {
            store,
            cache,
            fetching: self.fetching,
            ledger: self.host.ledger()?,
            arch: self.recipe().machine.arch,
            files: self.files,
            ui: self.ui,
        })
    }

    /// The cache of downloads.
    pub fn cache(&self) -> proxy::Cache {
        proxy::Cache::new(self.host.store().state(), self.config.store.cache_size)
    }

    /// What a proxy of the stage works with, but for its routes. What is unfinished lies in `scratch`.
    pub fn relay(&self, scratch: &Path, log: &str) -> proxy::Settings {
        proxy::Settings {
            routes: vec![],
            cache: self.cache(),
            scratch: scratch.join("proxy"),
            log: self.logs.join(log),
            vouched_only: false,
            locked: self.fetching.locked().cloned(),
            open: None,
        }
    }

    /// Makes the entry's disk as an overlay of `below`; returns its path.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub fn overlay(&self, below: &Entry) -> Result<PathBuf> {
        self.overlay_with(below, qemu_img::CLUSTER)
    }

    /// As [`Context::overlay`], with clusters of `cluster` bytes: what is trimmed in whole
    /// clusters only is gone.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub fn overlay_with(&self, below: &Entry, cluster: u64) -> Result<PathBuf> {
        let below = below.disk_from_sibling();
        qemu_img::create(
            &self.dir.join(DISK),
            Some((&below, "qcow2")),
            Some(cluster),
            None,
        )?;
        Ok(self.dir.join(DISK))
    }
}

/// What a stage reports about one sealed disk.
pub trait OfSealed {
    /// The digest of that disk.
    fn sealed(&self) -> &str;
}

impl<F: Facts + OfSealed> Layer<F> {
    /// The same, if it is about this disk: what was proven, or made, of another one says nothing of it.
    ///
    /// # Errors
    /// When it is about another one.
    pub fn of(self, sealed: &Layer<Sealed>) -> Result<Self> {
        if self.facts().sealed() == sealed.digest()? {
            return Ok(self);
        }
        let (stage, meta) = (F::STAGE, self.entry().meta());
        let said = format!("the {stage} stage worked on another sealed disk");
        Err(Error::gate(said).hint(meta.again()))
    }
}

/// A file made for a target.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// What its stage reports of it.
    pub record: ArtifactRecord,
}

/// The artifacts in an entry.
pub fn artifacts(entry: &Entry, records: &[ArtifactRecord]) -> Vec<Artifact> {
    let artifact = |record: &ArtifactRecord| Artifact {
        path: entry.path().join(&record.file),
        record: record.clone(),
    };
    records.iter().map(artifact).collect()
}
