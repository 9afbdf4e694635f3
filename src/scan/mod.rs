//! Looks for what a build may leave behind: credentials, keys, secrets, identities, traces.
//!
//! A rule is one row of a table in `rules/`, grouped by what it protects. [`disk`], [`tree`] and
//! [`tar`] show every file of an image to the same [`Scanner`]; [`disk`] also searches the raw
//! bytes, free space included, for [`Known`] secrets. Contents of gzip, xz, zstd, bzip2 and lz4
//! files, of archives and packages, and of systemd's journals are searched decoded. What cannot be
//! searched is a finding of the rule [`NOT_SEARCHED`].
//!
//! A file that is byte for byte a package's is public, whatever it contains: distributions ship
//! keys for self-tests. What the recipe declares ([`Declared`]) is not reported.

mod allow;
mod candidate;
mod content;
mod cpio;
mod declared;
mod decode;
mod entry;
mod file;
mod find;
mod frames;
mod glob;
mod holes;
mod homes;
mod journal;
mod kept;
mod known;
mod nested;
mod owned;
mod raw;
mod rule;
mod rules;
mod scanner;
pub(crate) mod source;
mod squashfs;
mod stream;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::guest::Key;
use crate::host::accel::Accel;
use crate::ui::StageUi;

pub use allow::{Accepted, Allow, Verdict, judge};
pub use declared::{Account, Declared};
pub use entry::{FileEntry, Kind};
pub use file::Form;
pub use known::{Known, SHORTEST};
pub use rule::{Group, Rule};
pub use rules::{KNOWN_SECRET, NOT_SEARCHED, all as rules, names as rule_names};
pub use scanner::Scanner;

/// Changes when a scan could say something else about the same bytes; a part of the keys of stages
/// that use it.
pub const VERSION: u32 = 11;

/// Something that should not be in the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The rule that found it.
    pub rule: String,
    /// Where it is: a path in the image, or a place on the disk.
    pub path: String,
    /// What exactly was found; never the secret itself. May be empty.
    pub detail: String,
    /// Why it matters.
    pub why: String,
    /// Which operation or setting removes it.
    pub fix: String,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScanReport {
    /// The findings, by rule and path.
    pub findings: Vec<Finding>,
    /// How many files and directories were seen.
    pub files: u64,
    /// How many bytes were searched, decoded ones included.
    pub bytes: u64,
}

/// What a scan has to know about the image.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Secrets that must not be in it.
    pub known: Known,
    /// What belongs there.
    pub declared: Declared,
    /// Keys of encrypted volumes.
    pub luks_keys: Vec<Key>,
}

/// How a disk is opened.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Where a flattened copy may lie while the scan runs.
    pub scratch: &'a Path,
    /// What runs the appliance that reads file systems which imgforge itself cannot read.
    pub accel: Accel,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// Scans a disk: its files, and its raw bytes for the known secrets. The disk is not changed.
///
/// # Errors
/// When the disk cannot be read, no file is on it, or imgforge is interrupted.
pub fn disk(disk: &Path, format: &str, subject: &Subject, host: &Host<'_>) -> Result<ScanReport> {
    some(source::disk(disk, format, subject, host)?)
}

/// Scans a file of any kind that is known: a disk, also compressed or in an archive such as an OVA,
/// an archive of an image's files, a directory. Without `form`, its content says what it is. A disk
/// may be an overlay on the files of `backing`, and of no others.
///
/// # Errors
/// When it cannot be read, no file is in it, it is on a file that is not named, or imgforge is
/// interrupted.
pub fn file(
    file: &Path,
    form: Option<Form>,
    backing: &[PathBuf],
    subject: &Subject,
    host: &Host<'_>,
) -> Result<ScanReport> {
    some(file::scan(file, form, backing, subject, host)?)
}

/// Scans a directory of the host as if it were an image's root.
///
/// # Errors
/// When a file cannot be read, there is none, or imgforge is interrupted.
pub fn tree(root: &Path, subject: &Subject) -> Result<ScanReport> {
    let mut scanner = Scanner::new(subject);
    source::tree(root, "", &mut scanner)?;
    some(scanner.finish())
}

/// Scans a tar archive of an image's files.
///
/// # Errors
/// When the archive cannot be read or is empty, or imgforge is interrupted.
pub fn tar(archive: impl std::io::Read, subject: &Subject) -> Result<ScanReport> {
    let mut scanner = Scanner::new(subject);
    source::tar(archive, &mut scanner)?;
    some(scanner.finish())
}

/// Nothing seen is no clean image, whatever is accepted.
fn some(report: ScanReport) -> Result<ScanReport> {
    if report.files > 0 {
        return Ok(report);
    }
    let why = report.findings.iter();
    let why = why.map(|found| format!("{}: {}: {}", found.rule, found.path, found.detail));
    Err(Error::gate("not one file was found, so that nothing was searched")
        .evidence(why)
        .hint("is it a whole disk, a directory, or an archive of an image's files? `imgforge disk scan --format` says what it is"))
}

/// Looks for the known secrets in a stream; names those that are in it.
///
/// # Errors
/// When the stream cannot be read.
pub fn search(content: &mut dyn std::io::Read, known: &Known) -> std::io::Result<Vec<String>> {
    raw::stream(content, known)
}

/// Looks for the known secrets in the raw bytes of a disk, of any format that QEMU knows, without
/// its files; names those that are in it, with the place of the first.
///
/// # Errors
/// When the disk cannot be read.
pub fn raw_bytes(
    disk: &Path,
    format: &str,
    known: &Known,
    scratch: &Path,
    ui: &StageUi,
) -> Result<Vec<(String, u64)>> {
    raw::disk(disk, format, known, scratch, ui)
}

#[cfg(test)]
mod tests;
