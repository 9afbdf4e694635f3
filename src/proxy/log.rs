//! The log of a proxy, and the list of what its clients got.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::rules::shown;
use crate::error::{Context as _, Result};
use crate::lock::{Fetched, Record};
use crate::mutex::Unpoisoned as _;

/// How a file came to a client; the first word of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheResult {
    /// From the cache, without a question.
    Hit,
    /// From the cache, after the mirror said that it is current.
    Revalidated,
    /// From the mirror; kept.
    Miss,
    /// From the mirror; not kept.
    Passed,
}

impl CacheResult {
    const fn word(self) -> &'static str {
        match self {
            CacheResult::Hit => "hit",
            CacheResult::Revalidated => "revalidated",
            CacheResult::Miss => "miss",
            CacheResult::Passed => "passed",
        }
    }
}

/// What the clients got so far.
#[derive(Debug, Default)]
struct Noted {
    /// Digest and size, by address.
    files: BTreeMap<String, (String, u64)>,
    absent: BTreeSet<String>,
    not_locked: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Log {
    file: Mutex<File>,
    record: Mutex<Noted>,
}

impl Log {
    pub(super) fn create(path: &Path) -> Result<Log> {
        let doing = || format!("writing {}", path.display());
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).doing(doing)?;
        }
        Ok(Log {
            file: Mutex::new(File::create(path).doing(doing)?),
            record: Mutex::default(),
        })
    }

    fn line(&self, word: &str, status: u16, bytes: u64, address: &str, why: &str) {
        let gap = if why.is_empty() { "" } else { "  " };
        let mut file = self.file.lock().unpoisoned();
        // A log that cannot be written ends no build.
        drop(writeln!(
            file,
            "{word} {status} {bytes} {}{gap}{why}",
            shown(address)
        ));
    }

    /// A client got a file, or was told that it has it already.
    pub(super) fn served(&self, how: CacheResult, status: u16, bytes: u64, address: &str) {
        self.line(how.word(), status, bytes, address, "");
    }

    /// A mirror said no, or none could be reached.
    pub(super) fn failed(&self, status: u16, address: &str, why: &str) {
        self.line("failed", status, 0, address, why);
    }

    /// A request was not relayed.
    pub(super) fn refused(&self, status: u16, address: &str, why: &str) {
        self.line("refused", status, 0, address, why);
    }

    /// A mirror does not work, and the next one is asked.
    pub(super) fn fell_back(&self, address: &str, why: &str) {
        self.line("down", 0, 0, address, why);
    }

    /// The build depends on this file.
    pub(super) fn note(&self, address: &str, sha256: &str, size: u64) {
        let url = shown(address);
        let mut record = self.record();
        record.absent.remove(&url);
        record.files.insert(url, (sha256.to_owned(), size));
    }

    /// The build depends on that there is nothing.
    pub(super) fn absent(&self, address: &str) {
        let url = shown(address);
        let mut record = self.record();
        if !record.files.contains_key(&url) {
            record.absent.insert(url);
        }
    }

    /// What comes from this host nobody can read on its way.
    pub(super) fn tunnel(&self, host: &str) {
        self.line("tunnel", 200, 0, host, "");
        self.record().not_locked.insert(shown(host));
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.record.lock().unpoisoned()
    }

    /// Everything that was noted.
    pub(super) fn recorded(&self) -> Record {
        let noted = self.record();
        let file = |(url, (sha256, size)): (&String, &(String, u64))| Fetched {
            url: url.clone(),
            sha256: sha256.clone(),
            size: *size,
        };
        Record {
            mirrors: None,
            fetched: noted.files.iter().map(file).collect(),
            absent: noted.absent.clone(),
            not_locked: noted.not_locked.clone(),
            ..Record::default()
        }
    }
}
