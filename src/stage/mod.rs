//! The stages: each maps immutable inputs to one immutable output, in a private directory.

pub mod check;
pub mod companions;
pub mod configure;
pub mod declared;
pub mod finish;
pub mod host;
pub mod install;
pub mod pack;
pub mod plan;
pub mod provenance;
pub mod publish;
pub mod seal;
pub mod seal_file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::host::qemu_img;
use crate::recipe::types::Recipe;
use crate::recipe::{Config, Resolved};
use crate::repository::GateProof;
pub use crate::repository::Published;
use crate::stage::host::Host;
use crate::store::files::Files;
use crate::store::media::Media;
use crate::store::{DISK, Entry, Store};
use crate::ui::StageUi;

/// The stages, in the order of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageId {
    /// The base system gets onto a disk.
    Install,
    /// The recipe's steps run inside the booted guest.
    Configure,
    /// What must not stay is removed, the disk is trimmed.
    Seal,
    /// The gate.
    Check,
    /// The disk is compressed.
    Pack,
    /// The targets' artifacts are made.
    Finish,
    /// The repository gets it.
    Publish,
}

impl StageId {
    /// Every stage, in order.
    pub const ALL: [StageId; 7] = [
        StageId::Install,
        StageId::Configure,
        StageId::Seal,
        StageId::Check,
        StageId::Pack,
        StageId::Finish,
        StageId::Publish,
    ];

    /// The name in recipes, messages and file names.
    pub const fn name(self) -> &'static str {
        match self {
            StageId::Install => "install",
            StageId::Configure => "configure",
            StageId::Seal => "seal",
            StageId::Check => "check",
            StageId::Pack => "pack",
            StageId::Finish => "finish",
            StageId::Publish => "publish",
        }
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        StageId::ALL
            .into_iter()
            .find(|stage| stage.name() == text)
            .ok_or_else(|| {
                let names = StageId::ALL.map(StageId::name).join(", ");
                format!("`{text}` is not a stage; the stages are {names}")
            })
    }
}

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
    /// How this machine runs guests.
    pub host: &'a Host,
    /// The state directory.
    pub state: &'a Path,
    /// The private directory that becomes the entry.
    pub dir: &'a Path,
    /// Where logs and evidence stay when the stage fails.
    pub logs: &'a Path,
    /// The stage's name in the plan.
    pub label: String,
    /// The stage's key.
    pub key: Key,
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

    /// Where media come from and go to.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn media<'s>(&'s self, store: &'s Store) -> Result<Media<'s>> {
        Ok(Media {
            store,
            ledger: self.host.ledger()?,
            files: self.files,
            ui: self.ui,
        })
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
        qemu_img::overlay(self.dir, &below.disk_from_sibling(), DISK, cluster)?;
        Ok(self.dir.join(DISK))
    }
}

/// A disk with the base system: proven by the installer's own last act.
#[derive(Debug)]
pub struct Installed(pub Entry);

/// A disk on which every step of the recipe has run.
#[derive(Debug)]
pub struct Configured(pub Entry);

/// A disk without anything of the build.
#[derive(Debug)]
pub struct Sealed(pub Entry);

impl Sealed {
    /// The digest of what a guest sees: of the disk's file and all below it, made when each of them
    /// was committed.
    ///
    /// # Errors
    /// When the entry does not tell, which is a bug.
    pub fn digest(&self) -> Result<&str> {
        let disk = self.0.meta().disk.as_ref();
        disk.map(|disk| disk.chain.as_str())
            .ok_or_else(|| incomplete(&self.0, "disk"))
    }
}

/// The gate has passed for one sealed disk.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The proof that `publish` asks for.
    pub proof: GateProof,
}

impl Checked {
    /// Reads the check stage's entry.
    ///
    /// # Errors
    /// When the entry is about another disk, or says that the gate has not passed.
    pub fn of(sealed: &Sealed, entry: &Entry) -> Result<Self> {
        let facts = &entry.meta().facts;
        same_disk(sealed, entry)?;
        let passed = facts["passed"] == true;
        Ok(Checked {
            proof: GateProof::of(sealed.digest()?, passed, facts["gate"].clone())?,
        })
    }
}

/// What was proven, or made, of another disk than this one says nothing of this one.
fn same_disk(sealed: &Sealed, entry: &Entry) -> Result<()> {
    if fact(entry, "sealed")? == sealed.digest()? {
        return Ok(());
    }
    let stage = &entry.meta().stage;
    Err(Error::gate(format!("the {stage} stage worked on another sealed disk")).hint(again(entry)))
}

/// A compressed disk.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The file, `NAME-VERSION.xz`.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the disk in it, in bytes.
    pub virtual_size: u64,
    /// SHA-512 of the file, in hex.
    pub sha512: String,
    /// Digest of the sealed disk that it was made from.
    pub sealed: String,
    /// Facts about the system on the disk, from sealing.
    pub system: serde_json::Value,
    /// The sealed disk's entry in the store.
    pub sealed_dir: PathBuf,
    /// What was made of the disk for targets.
    pub artifacts: Vec<Artifact>,
}

/// A file made for a target.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its name in the repository.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-512, in hex.
    pub sha512: String,
    /// What is known of it: `target`, `format`, …
    pub about: std::collections::BTreeMap<String, String>,
    /// What its gate proved.
    pub proof: Option<crate::targets::Proof>,
}

impl Packed {
    /// Reads the pack stage's entry.
    ///
    /// # Errors
    /// When the entry is about another disk.
    pub fn of(sealed: &Sealed, entry: &Entry) -> Result<Self> {
        same_disk(sealed, entry)?;
        let number = |name: &str| {
            entry.meta().facts[name]
                .as_u64()
                .ok_or_else(|| incomplete(entry, name))
        };
        Ok(Packed {
            path: entry.path().join(fact(entry, "file")?),
            size: number("size")?,
            virtual_size: number("virtual-size")?,
            sha512: fact(entry, "sha512")?.to_owned(),
            sealed: sealed.digest()?.to_owned(),
            system: sealed.0.meta().facts.clone(),
            sealed_dir: sealed.0.path().to_owned(),
            artifacts: companions::artifacts(entry.path(), &entry.meta().facts)?,
        })
    }
}

fn fact<'a>(entry: &'a Entry, name: &str) -> Result<&'a str> {
    entry.meta().facts[name]
        .as_str()
        .ok_or_else(|| incomplete(entry, name))
}

fn incomplete(entry: &Entry, name: &str) -> Error {
    let path = entry.path().join("meta.json");
    Error::internal(format!("{} does not tell `{name}`", path.display())).hint(again(entry))
}

/// What to type for another result of the stage.
fn again(entry: &Entry) -> String {
    let meta = entry.meta();
    let stage = meta.stage.split('-').next().unwrap_or(&meta.stage);
    format!(
        "`imgforge build {} --from {stage}` makes it again",
        meta.image
    )
}
