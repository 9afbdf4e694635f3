//! The index as a file.
//!
//! One file beside the layer, zstd. Its lines are JSON: a head, then a list for each path in order of
//! the paths, then a list for each path that a layer removed. Equal disks give equal bytes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::index::{Claim, File, How, Index, Layer, Removed, Since};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::lock::Fetched;
use crate::sbom::Package;

/// Name of the file in a layer's entry.
pub const FILE: &str = "files.zst";

/// What the head says that it is.
const FORMAT: &str = "imgforge-files";

/// Grows when a field means something else; an index of another version is not read.
const VERSION: u32 = 1;

/// How much larger than its file an index can be: digests do not pack. And of a small one, in bytes.
const RATIO: u64 = 64;
const SMALL: u64 = 1 << 20;

/// How long its head can be, in bytes, with all packages and steps; and how long another line can be, with a
/// path and where a link leads: each has at most 4096, of which JSON makes six each.
const LONGEST_HEAD: u64 = 64 << 20;
const LONGEST: u64 = 64 << 10;

const FOREIGN: &str = "it names a layer or package that it does not have";

/// Enough for paths and digests, and quick.
const LEVEL: i32 = 6;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    format: String,
    version: u32,
    layers: Vec<Layer>,
    packages: Vec<Package>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    downloads: BTreeMap<usize, Fetched>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
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
                    downloads: self.downloads.clone(),
                    used: self.used,
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
    /// When it is none, damaged, or of another version of imgforge; or on an interrupt.
    pub fn from_bytes(bytes: &[u8], shown: &str) -> Result<Self> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::host(format!("{shown} is no index of files that can be read")).cause(why)
        };
        let unpacked = zstd::Decoder::new(bytes).map_err(|cause| failed(&cause))?;
        let most = (bytes.len() as u64).saturating_mul(RATIO).max(SMALL);
        let mut lines = BufReader::new(unpacked.take(most));
        let mut text = String::new();
        let mut next = |most: u64| -> Result<String> {
            text.clear();
            match lines.by_ref().take(most).read_line(&mut text) {
                Ok(_) if text.ends_with('\n') => Ok(std::mem::take(&mut text)),
                Ok(read) if read as u64 == most => Err(failed(&"a line of it is too long")),
                Ok(_) => Err(failed(&"it ends early")),
                Err(cause) => Err(failed(&cause)),
            }
        };
        let head: Head =
            serde_json::from_str(&next(LONGEST_HEAD)?).map_err(|cause| failed(&cause))?;
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
            downloads: head.downloads,
            used: head.used,
            unread: head.unread,
            ..Index::default()
        };
        if index.downloads.keys().any(|package| *package >= packages) {
            return Err(failed(&FOREIGN));
        }
        for number in 0..head.files {
            if number % 4096 == 0 {
                interrupt::check()?;
            }
            let row: Row = serde_json::from_str(&next(LONGEST)?).map_err(|cause| failed(&cause))?;
            let file = File::of_row(row);
            if !file.fits(layers, packages) {
                return Err(failed(&FOREIGN));
            }
            index.files.push(file);
        }
        for _ in 0..head.removed {
            let row: (String, usize) =
                serde_json::from_str(&next(LONGEST)?).map_err(|cause| failed(&cause))?;
            if row.1 >= layers {
                return Err(failed(&FOREIGN));
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
