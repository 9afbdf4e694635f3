//! What a kit says that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::error::{Error, Result};

const FORMAT: &str = "imgforge-kit";

/// Grows when a field means something else.
const VERSION: u32 = 1;

/// How many contents a kit may have.
const MOST: usize = 1 << 20;

/// All of a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// The images that can be built of it.
    pub images: Vec<Image>,
    /// The directories of the recipe repository that count, by path.
    pub directories: Vec<Directory>,
    /// The files of the recipe repository, by path; the locks among them.
    pub files: Vec<RecipeFile>,
    /// What the locks name, by their digest there.
    pub contents: Vec<Content>,
}

/// An image that can be built of a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name, of several architectures `NAME:ARCH`.
    pub name: String,
    /// The path of its lock.
    pub lock: String,
}

/// A directory of the recipe repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Below the repository's root.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
}

/// A file of the recipe repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Below the repository's root.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// What a lock names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// `sha256:HEX` or `sha512:HEX`, as the lock has it.
    pub named: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// Nothing is in it yet.
impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            images: vec![],
            directories: vec![],
            files: vec![],
            contents: vec![],
        }
    }
}

impl Manifest {
    /// Reads what a signature covers.
    ///
    /// # Errors
    /// When it is no manifest, is one of another version of imgforge, or has a path that leads elsewhere.
    pub(super) fn read(text: &str) -> Result<Self> {
        let broken = |why: String| Error::gate("the manifest of the kit is wrong").cause(why);
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|cause| broken(cause.to_string()))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            let (format, version) = (&manifest.format, manifest.version);
            return Err(broken(format!(
                "it is `{format}` {version}, and this imgforge reads `{FORMAT}` {VERSION}"
            )));
        }
        manifest.check().map_err(broken)?;
        Ok(manifest)
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.files.len() + self.directories.len() + self.contents.len() > MOST {
            return Err("it has too many files".into());
        }
        let mut paths = BTreeSet::new();
        let directories = self.directories.iter().map(|one| (&one.path, one.mode));
        let files = self.files.iter().map(|one| (&one.path, one.mode));
        for (path, mode) in directories.chain(files) {
            if !is_plain(path) {
                return Err(format!("{path:?} is not a path within a recipe repository"));
            }
            if mode & !0o777 != 0 {
                return Err(format!("{path} has the permissions {mode:o}"));
            }
            if !paths.insert(path) {
                return Err(format!("it has {path} twice"));
            }
        }
        self.sizes().map(drop)
    }

    /// The size of each content, by its digest.
    ///
    /// # Errors
    /// When one has two sizes.
    pub(super) fn sizes(&self) -> Result<BTreeMap<&Sha256, u64>, String> {
        let mut sizes = BTreeMap::new();
        let files = self.files.iter().map(|one| (&one.sha256, one.size));
        let contents = self.contents.iter().map(|one| (&one.sha256, one.size));
        for (sha256, size) in files.chain(contents) {
            if sizes
                .insert(sha256, size)
                .is_some_and(|other| other != size)
            {
                return Err(format!("{sha256} has two sizes"));
            }
        }
        Ok(sizes)
    }
}

/// Whether a path stays below a directory, whoever reads it, and is none of git's own.
fn is_plain(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let normal = parts
        .all(|part| matches!(part, Component::Normal(name) if !name.eq_ignore_ascii_case(".git")));
    // `a//b`, `a/.` and `a/` have the components of `a/b` and `a`.
    let whole = path.split('/').all(|part| !part.is_empty() && part != ".");
    normal && whole && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_a_repository_are_taken() {
        for good in [
            "imgforge.yaml",
            "recipes/_base/a.yaml",
            "files/.bashrc",
            "a..b/c",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../../b",
            "a//b",
            "a/",
            "./a",
            "a/.",
            ".git/hooks/x",
            "a/.GIT/x",
            "a\nb",
            "a\0b",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
