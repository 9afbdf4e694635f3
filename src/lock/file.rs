//! `NAME.lock`: YAML, sorted, a line a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::END;
use super::{Fetched, Locked, Mirrors, Record, by_address};
use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::host::opened;

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The largest lock, in bytes: of a desktop's 5000 packages it has 2 MiB.
const LARGEST: u64 = 64 << 20;

/// The lock of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    imgforge_lock: u32,
    /// The image, of several architectures `NAME:ARCH`.
    pub image: String,
    /// When the last of its stages ended: no earlier clock can judge what was fetched.
    pub clock: Timestamp,
    /// The published image that it was built on.
    #[serde(default)]
    pub from: Option<Parent>,
    /// The stages that fetch, those of the images below first.
    pub stages: Vec<Stage>,
    /// The packages that resulted, as `NAME VERSION ARCHITECTURE`.
    pub packages: Vec<String>,
}

/// The revision of a published image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// How the recipe names it.
    pub image: String,
    /// Its number.
    pub revision: u64,
    /// SHA-512 of its blob, in hex.
    pub sha512: String,
    /// What its signed index said of it beside that; a lock of an older imgforge has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<ParentEntry>,
}

/// What the signed index of a repository says of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ParentEntry {
    /// The channel that the recipe names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The name of its entry.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// Where the blob is, without user and password.
    pub url: String,
    /// Size of the blob, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Size of the disk as a guest sees it, in bytes.
    pub disk_size: u64,
    /// Format of the disk inside the blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Its `IMAGE_VERSION`, if imgforge published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// libosinfo's short id of the system on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osinfo: Option<String>,
}

/// What one stage fetched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Stage {
    /// The image that the stage belongs to: the lock's, or one that it builds on.
    pub image: String,
    /// The stage, as a plan names it.
    pub stage: String,
    /// The digest of what the recipe and its files say of the stage.
    pub recipe: String,
    /// What it fetched.
    pub record: Record,
}

/// A stage as the file has it: with the fields of its record as its own.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    image: String,
    stage: String,
    recipe: String,
    mirrors: Option<Mirrors>,
    #[serde(default, with = "by_address")]
    fetched: Vec<Fetched>,
    #[serde(default)]
    absent: BTreeSet<String>,
    #[serde(default)]
    not_locked: BTreeSet<String>,
    #[serde(default, with = "by_address")]
    media: Vec<Fetched>,
    #[serde(default, with = "by_address")]
    archives: Vec<Fetched>,
    #[serde(default)]
    beside: BTreeMap<String, Record>,
}

impl From<Written> for Stage {
    fn from(written: Written) -> Self {
        Stage {
            image: written.image,
            stage: written.stage,
            recipe: written.recipe,
            record: Record {
                mirrors: written.mirrors,
                fetched: written.fetched,
                absent: written.absent,
                not_locked: written.not_locked,
                media: written.media,
                archives: written.archives,
                beside: written.beside,
            },
        }
    }
}

/// Where the lock of an image lies whose recipe is the file `recipe`: of several architectures each has one.
pub fn path(recipe: &Path, image: &str) -> PathBuf {
    match image.split_once(':') {
        Some((name, arch)) => recipe.with_file_name(format!("{name}.{arch}.lock")),
        None => recipe.with_extension("lock"),
    }
}

/// Whether a file is a lock, also one that is broken or half merged.
pub fn is_lock(file: &File) -> bool {
    let mut first = vec![];
    let read = file.take(1 << 16).read_to_end(&mut first);
    read.is_ok() && String::from_utf8_lossy(&first).contains("imgforge-lock:")
}

/// The text of the lock at `path`, which is a file that is not too large.
///
/// # Errors
/// When it is not there, cannot be read, or is none.
pub fn text(path: &Path) -> io::Result<String> {
    let mut bytes = vec![];
    let file = opened::open(path)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::other(format!(
            "it has more than {} MiB",
            LARGEST >> 20
        ))),
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The version of the format that a text has, whatever else is in it.
fn version(text: &str) -> Option<u32> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("imgforge-lock:"))?;
    line.trim().parse().ok()
}

/// The digests of content that the text of a lock names, also of one that is broken.
pub fn digests(text: &str) -> BTreeSet<String> {
    let parts = text.split("sha256:").skip(1);
    let digests = parts.filter_map(|part| Key::parse(part.get(..64)?));
    digests.map(|key| key.as_str().to_owned()).collect()
}

impl Lock {
    /// Of an image whose last stage ended at `clock`.
    pub fn new(image: &str, clock: Timestamp) -> Self {
        Lock {
            imgforge_lock: VERSION,
            image: image.to_owned(),
            clock,
            from: None,
            stages: vec![],
            packages: vec![],
        }
    }

    /// Reads the lock of `image` at `path`.
    ///
    /// # Errors
    /// When there is none, it is broken, of another version of imgforge, or of another image.
    pub fn read(path: &Path, image: &str) -> Result<Self> {
        let again = format!("`imgforge lock {image}` writes it, of the last build");
        let shown = path.display();
        let text = match text(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::usage(format!("{image} has no lock"))
                    .cause(format!("there is no {shown}"))
                    .hint(again));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Other
                ) =>
            {
                return Err(Error::usage(format!("{shown} is no lock"))
                    .cause(error)
                    .hint(again));
            }
            text => text.doing(|| format!("reading {shown}"))?,
        };
        // Before all else: what a later format has is not broken, and not to be written over.
        if let Some(later) = version(&text).filter(|version| *version > VERSION) {
            return Err(Error::usage(format!("{shown} is of a newer imgforge"))
                .cause(format!(
                    "it has version {later}, and this one reads {VERSION}"
                ))
                .hint("take the imgforge that wrote it, or a newer one"));
        }
        let broken = |cause: &dyn fmt::Display| {
            Error::usage(format!("{shown} is broken"))
                .cause(cause.to_string())
                .hint(again.clone())
        };
        // The last line says that the file is whole: what follows the last comma could be gone.
        if !text.trim_end().ends_with(END) {
            return Err(broken(&"its end is missing"));
        }
        let lock: Lock = serde_yaml::from_str(&text).map_err(|cause| broken(&cause))?;
        if lock.imgforge_lock != VERSION {
            let said = format!("it has version {}, not {VERSION}", lock.imgforge_lock);
            return Err(broken(&said));
        }
        let mut stages = BTreeSet::new();
        if let Some(Stage { image, stage, .. }) =
            (lock.stages.iter()).find(|one| !stages.insert((&one.image, &one.stage)))
        {
            let said = format!("it has the stage {stage} of {image} twice, as after a merge");
            return Err(broken(&said));
        }
        if lock.image != image {
            return Err(
                Error::usage(format!("{shown} is the lock of another image"))
                    .cause(format!("it is of `{}`, not of `{image}`", lock.image))
                    .hint(again),
            );
        }
        Ok(lock)
    }

    /// Refuses a clock that is behind what was fetched: signatures would not be valid yet.
    ///
    /// # Errors
    /// When `now` is before the lock's own time.
    pub fn check_clock(&self, now: Timestamp) -> Result<()> {
        if now >= self.clock {
            return Ok(());
        }
        Err(Error::host(format!(
            "this host's clock is behind the lock of {}",
            self.image
        ))
        .cause(format!(
            "it says {now:.0}, and the lock is of {}",
            self.clock
        ))
        .hint("set the clock: signatures of that time are not valid before it"))
    }

    /// What a stage fetched.
    pub fn stage(&self, image: &str, stage: &str) -> Option<&Stage> {
        let mut stages = self.stages.iter();
        stages.find(|one| one.image == image && one.stage == stage)
    }

    /// As [`Lock::stage`], for a build that is bound to it.
    ///
    /// # Errors
    /// When the lock says nothing of the stage.
    pub fn need(&self, image: &str, stage: &str) -> Result<&Stage> {
        self.stage(image, stage).ok_or_else(|| {
            let name = self.image.split(':').next().unwrap_or(&self.image);
            Error::usage(format!(
                "the lock of {} says nothing of the stage {stage} of {image}",
                self.image
            ))
            .cause("the recipe has another stage than when it was locked")
            .hint(format!(
                "build without --locked, then `imgforge lock {name}` writes it anew"
            ))
        })
    }

    /// What binds a stage, where the lock has it; `offline` asks no mirror.
    pub fn binding(&self, image: &str, stage: &str, offline: bool) -> Option<Arc<Locked>> {
        let name = self.image.split(':').next().unwrap_or(&self.image);
        let found = self.stage(image, stage)?;
        let file = format!("{}.lock", self.image.replace(':', "."));
        let locked = Locked::new(&file, name, found.record.clone());
        Some(Arc::new(locked.offline(offline)))
    }

    /// The packages that `packages` has and the lock has not, with `+`, and the other way round, with `-`.
    pub fn packages_changed(&self, packages: &[String]) -> Vec<String> {
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
            (self.packages.iter().collect(), packages.iter().collect());
        let new = theirs.difference(&ours).map(|one| format!("+ {one}"));
        let gone = ours.difference(&theirs).map(|one| format!("- {one}"));
        new.chain(gone).collect()
    }
}
