//! The index of a layer's files: every path, since when it is so, and whose it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lock::Fetched;
use crate::sbom::Package;

/// Every file of a disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// The layers of the disk, the lowest first.
    pub layers: Vec<Layer>,
    /// The packages that its files belong to.
    pub packages: Vec<Package>,
    /// The files that packages were fetched as, by the places of these in the list above; nothing of one
    /// that did not come through imgforge.
    pub downloads: BTreeMap<usize, Fetched>,
    /// Bytes that its file systems have in use: those of files, and their own; nothing where one was not
    /// read, or does not say.
    pub used: Option<u64>,
    /// What of the disk was not read, a sentence each.
    pub unread: Vec<String>,
    /// Its files, by path.
    pub files: Vec<File>,
    /// What was there in a layer below, and is not any more.
    pub removed: Vec<Removed>,
}

/// A layer of a disk: what one stage has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// The key of its entry.
    pub key: String,
    /// The image that it was made for first.
    pub image: String,
    /// The stage that made it, as a plan names it.
    pub stage: String,
    /// Where the recipe has it, such as `recipes/web.yaml:12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The commit of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The layer below has no index: what that one has counts for this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
    /// Where the disk that it began with was fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The steps that ran in it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A step of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Its number in its part of `configure`, counted from 1.
    pub number: u32,
    /// What people see.
    pub title: String,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// When it began by the guest's clock: nanoseconds since 1970.
    pub began: i64,
    /// When it had ended.
    pub ended: i64,
}

/// Since when something is so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    /// The layer, as an index into the list of all.
    pub layer: usize,
    /// When, by the clock of who wrote it: nanoseconds since 1970; nothing where that is not known.
    pub at: Option<i64>,
}

/// A file, directory, link or device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct File {
    /// Absolute. What is not UTF-8 in it is shown as `�`.
    pub path: String,
    /// Type and permissions, as stat(2) has them.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that it takes on the disk; nothing for a further name of a file.
    pub stored: u64,
    /// Equal as long as nobody has changed it.
    pub mark: u64,
    /// The first 16 bytes of the BLAKE3 of what a regular file contains, in hex, with `~` before it
    /// where long holes were left out; where a link points. Nothing of what has neither.
    pub content: String,
    /// Since when there is something of this name.
    pub born: Since,
    /// Since when it has this content.
    pub changed: Since,
    /// Since when it has this owner and these permissions.
    pub dressed: Since,
    /// The package that it belongs to.
    pub claim: Option<Claim>,
}

/// What a package has to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The package, as an index into the list of all.
    pub package: usize,
    /// How it is the package's.
    pub how: How,
}

/// How a file is a package's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The package has it.
    Listed,
    /// The package has it as a configuration file, which administrators change.
    Conffile,
    /// The package has it under another name, from which it is diverted.
    Diverted,
    /// A link of the alternatives, to a file of the package.
    Alternative,
    /// Python's compiled form of a file of the package.
    Compiled,
    /// What the package manager notes of the package.
    Record,
}

/// A path that a layer below had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Absolute.
    pub path: String,
    /// The layer that has it no more.
    pub layer: usize,
}

impl File {
    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == 0o040_000
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.kind() == 0o120_000
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == 0o100_000
    }
}

impl Index {
    /// What is at an absolute path.
    pub fn find(&self, path: &str) -> Option<&File> {
        let at = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path));
        at.ok().map(|at| &self.files[at])
    }

    /// What is at a path, or the archive that has it: what is in one has a path that begins with the
    /// archive's own.
    pub fn file_with(&self, path: &str) -> Option<&File> {
        let ends = path.rmatch_indices(['!', ':', '/', ' ']);
        let mut begins = ends.map(|(end, _)| &path[..end]);
        let archive = |begin: &str| self.find(begin).filter(|file| file.is_file());
        self.find(path).or_else(|| begins.find_map(archive))
    }

    /// Where the package of a file was fetched from.
    pub fn download(&self, file: &File) -> Option<&Fetched> {
        self.downloads.get(&file.claim?.package)
    }

    /// The package of a file.
    pub fn package(&self, file: &File) -> Option<(&Package, How)> {
        let claim = file.claim?;
        Some((&self.packages[claim.package], claim.how))
    }
}
