//! Files that are kept to be used again, two levels below a directory: which were used last, and how
//! the others make room.
//!
//! Any number of processes may use such a directory at once, without a lock: a file appears under its
//! name by one rename. A name with a dot in front is unfinished.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Context as _, Error, Result};

/// How much such a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many files.
    pub files: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// Every file two levels below `dir`, unfinished ones too.
pub fn files(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = list(dir).map(|dir| dir.path());
    dirs.flat_map(move |dir| list(&dir).map(|file| file.path()))
}

/// Whether a file is the beginning of one.
pub fn is_unfinished(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Notes that a file is used now, where the directory may be written.
pub fn touch(file: &File) {
    drop(file.set_modified(SystemTime::now()));
}

/// Whether nobody has used a file for longer than `age`.
pub fn is_older(file: &Path, age: Duration) -> bool {
    let used = file.metadata().and_then(|meta| meta.modified());
    used.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age))
}

/// How much the finished files below `dir` are.
pub fn usage(dir: &Path) -> Usage {
    let mut usage = Usage::default();
    for (_, bytes, _) in finished(dir) {
        usage.files += 1;
        usage.bytes += bytes;
    }
    usage
}

/// Removes the least recently used finished files below `dir` until `goal` bytes are free or nothing is
/// left. Returns the bytes freed, and what kept the first file that could not be removed.
pub fn evict(dir: &Path, goal: u64) -> (u64, Option<Error>) {
    evict_but(dir, goal, |_| false)
}

/// As [`evict`]; what `is_kept` says of stays, by its path.
pub fn evict_but(dir: &Path, goal: u64, is_kept: impl Fn(&Path) -> bool) -> (u64, Option<Error>) {
    let all = finished(dir).filter(|(_, _, file)| goal > 0 && !is_kept(file));
    let mut all: Vec<_> = all.collect();
    all.sort();
    let (mut freed, mut failed) = (0, None);
    for (_, bytes, file) in all {
        if freed >= goal {
            break;
        }
        match remove(&file) {
            Ok(()) => freed += bytes,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    (freed, failed)
}

/// Removes a file, unless another process was faster.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// When each finished file was used last, and its size in bytes.
fn finished(dir: &Path) -> impl Iterator<Item = (SystemTime, u64, PathBuf)> + use<> {
    let all = files(dir).filter(|file| !is_unfinished(file));
    all.filter_map(|file| {
        let meta = file.metadata().ok()?;
        Some((meta.modified().ok()?, meta.len(), file))
    })
}
