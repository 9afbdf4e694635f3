//! The index of a layer's files: every path, since when it is so, and whose it is.
//!
//! One file beside the layer, zstd. Its lines are JSON: a head, then a list for each path in order of
//! the paths, then a list for each path that a layer removed. Equal disks give equal bytes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::sbom::Package;

/// Name of the file in a layer's entry.
pub const FILE: &str = "files.zst";

/// What the head says that it is.
const FORMAT: &str = "imgforge-files";

/// Grows when a field means something else.
const VERSION: u32 = 1;

/// How large an index can be when it is unpacked, in bytes: of seven million files.
const LARGEST: u64 = 2 << 30;

/// Enough for paths and digests, and quick.
const LEVEL: i32 = 6;

/// Every file of a disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// The layers of the disk, the lowest first.
    pub layers: Vec<Layer>,
    /// The packages that its files belong to.
    pub packages: Vec<Package>,
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

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    format: String,
    version: u32,
    layers: Vec<Layer>,
    packages: Vec<Package>,
    unread: Vec<String>,
    files: usize,
    removed: usize,
}

/// A line of a file: path, mode, uid, gid, size, stored, mark, content, born, changed, dressed, claim.
type Row = (
    String,
    u32,
    u32,
    u32,
    u64,
    u64,
    u64,
    String,
    (usize, Option<i64>),
    (usize, Option<i64>),
    (usize, Option<i64>),
    Option<(usize, How)>,
);

impl Since {
    fn row(self) -> (usize, Option<i64>) {
        (self.layer, self.at)
    }

    fn of_row((layer, at): (usize, Option<i64>)) -> Self {
        Since { layer, at }
    }
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

    fn row(&self) -> Row {
        (
            self.path.clone(),
            self.mode,
            self.uid,
            self.gid,
            self.size,
            self.stored,
            self.mark,
            self.content.clone(),
            self.born.row(),
            self.changed.row(),
            self.dressed.row(),
            self.claim.map(|claim| (claim.package, claim.how)),
        )
    }

    fn of_row(row: Row) -> Self {
        File {
            path: row.0,
            mode: row.1,
            uid: row.2,
            gid: row.3,
            size: row.4,
            stored: row.5,
            mark: row.6,
            content: row.7,
            born: Since::of_row(row.8),
            changed: Since::of_row(row.9),
            dressed: Since::of_row(row.10),
            claim: row.11.map(|(package, how)| Claim { package, how }),
        }
    }

    /// Whether what it refers to is there.
    fn fits(&self, layers: usize, packages: usize) -> bool {
        let since = [self.born, self.changed, self.dressed];
        since.iter().all(|since| since.layer < layers)
            && self.claim.is_none_or(|claim| claim.package < packages)
    }
}

fn line(out: &mut impl std::io::Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
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

    /// The package of a file.
    pub fn package(&self, file: &File) -> Option<(&Package, How)> {
        let claim = file.claim?;
        Some((&self.packages[claim.package], claim.how))
    }

    /// As a file has it.
    ///
    /// # Errors
    /// When it cannot be compressed, which is a bug.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let write = || -> std::io::Result<Vec<u8>> {
            let mut out = zstd::Encoder::new(vec![], LEVEL)?;
            line(
                &mut out,
                &Head {
                    format: FORMAT.into(),
                    version: VERSION,
                    layers: self.layers.clone(),
                    packages: self.packages.clone(),
                    unread: self.unread.clone(),
                    files: self.files.len(),
                    removed: self.removed.len(),
                },
            )?;
            for file in &self.files {
                line(&mut out, &file.row())?;
            }
            for removed in &self.removed {
                line(&mut out, &(&removed.path, removed.layer))?;
            }
            out.finish()
        };
        write()
            .map_err(|cause| Error::internal("the index of files cannot be written").cause(cause))
    }

    /// Reads what [`Index::to_bytes`] has written; `shown` is where it comes from.
    ///
    /// # Errors
    /// When it is none, damaged, or of another version of imgforge.
    pub fn from_bytes(bytes: &[u8], shown: &str) -> Result<Self> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::host(format!("{shown} is no index of files that can be read")).cause(why)
        };
        let unpacked = zstd::Decoder::new(bytes).map_err(|cause| failed(&cause))?;
        let mut lines = BufReader::new(unpacked.take(LARGEST));
        let mut text = String::new();
        let mut next = || -> Result<String> {
            text.clear();
            match lines.read_line(&mut text) {
                Ok(0) => Err(failed(&"it ends early")),
                Ok(_) => Ok(std::mem::take(&mut text)),
                Err(cause) => Err(failed(&cause)),
            }
        };
        let head: Head = serde_json::from_str(&next()?).map_err(|cause| failed(&cause))?;
        if head.format != FORMAT || head.version != VERSION {
            let version = head.version;
            return Err(failed(&format!(
                "it has version {version}, this imgforge reads {VERSION}"
            )));
        }
        let (layers, packages) = (head.layers.len(), head.packages.len());
        let mut index = Index {
            layers: head.layers,
            packages: head.packages,
            unread: head.unread,
            ..Index::default()
        };
        for _ in 0..head.files {
            let row: Row = serde_json::from_str(&next()?).map_err(|cause| failed(&cause))?;
            let file = File::of_row(row);
            if !file.fits(layers, packages) {
                return Err(failed(&"it names a layer or package that it does not have"));
            }
            index.files.push(file);
        }
        for _ in 0..head.removed {
            let row: (String, usize) =
                serde_json::from_str(&next()?).map_err(|cause| failed(&cause))?;
            if row.1 >= layers {
                return Err(failed(&"it names a layer that it does not have"));
            }
            index.removed.push(Removed {
                path: row.0,
                layer: row.1,
            });
        }
        // Paths are looked for by their order.
        index.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(index)
    }

    /// Writes it into the entry that `dir` becomes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        std::fs::write(&path, self.to_bytes()?).doing(|| format!("writing {}", path.display()))
    }

    /// Reads the index of an entry; nothing for one of an older imgforge.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let shown = path.display().to_string();
        match std::fs::read(&path) {
            Ok(bytes) => Self::from_bytes(&bytes, &shown).map(Some),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause).doing(|| format!("reading {shown}")),
        }
    }
}
