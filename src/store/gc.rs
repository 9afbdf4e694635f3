//! What may go: unfinished work without a living owner, and the least recently used entries.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::digest::Key;
use crate::error::Result;
use crate::host::ours::{self, Owners, Seen};
use crate::proxy::Cache;
use crate::store::ledger::{self, Item};
use crate::store::media;
use crate::store::strays::Stray;
use crate::store::{Entry, Store};
use crate::units::Size;

/// How long an unfinished download waits for somebody to go on with it.
const PART_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// No record is longer, in bytes.
const LARGEST_RECORD: u64 = 64 << 10;

/// A page of the ledger whose process is gone. It is locked while it is looked at.
#[derive(Debug)]
pub struct Orphan {
    dir: PathBuf,
    /// What it names, with the record's file.
    pub items: Vec<(PathBuf, Item)>,
    /// Records of another version of imgforge, of what may still be there.
    pub unknown: Vec<PathBuf>,
    /// Records of what another machine has, which clears it itself.
    others: Vec<PathBuf>,
    _lock: std::fs::File,
}

impl Orphan {
    /// Forgets the page if all its records are gone.
    pub fn close(self) {
        let done = self.items.iter().all(|(record, _)| !record.exists());
        if done && self.unknown.is_empty() && self.others.is_empty() {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its name, for people.
    pub name: String,
    /// What it took, in bytes.
    pub bytes: u64,
}

/// A page of the ledger.
pub(super) struct Page(PathBuf);

impl Page {
    /// The page's lock, if its process is gone.
    fn lock(&self) -> Option<std::fs::File> {
        let lock = ours::open_writable(&self.0.join("lock")).ok()?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(lock)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.lock().is_some()
    }

    /// The records that were written to their end; what an unfinished one names was never made.
    pub(super) fn records(&self) -> Vec<(PathBuf, Value)> {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let records = files.filter_map(|file| {
            let mut text = vec![];
            let record = ours::open(&file.path()).ok()?.take(LARGEST_RECORD);
            { record }.read_to_end(&mut text).ok()?;
            let value: Value = serde_json::from_slice(&text).ok()?;
            value.is_object().then(|| (file.path(), value))
        });
        records.collect()
    }

    fn orphan(self) -> Option<Orphan> {
        let lock = self.lock()?;
        // What is in a directory that machines share is cleared by the next of any, which may be the last.
        let elsewhere = ledger::is_elsewhere(&self.0);
        let (mut items, mut unknown) = (vec![], vec![]);
        let mut others = vec![];
        for (record, value) in self.records() {
            let left = value["path"]
                .as_str()
                .is_none_or(|path| Path::new(path).exists());
            match serde_json::from_value(value) {
                Ok(Item::Scratch { .. }) if elsewhere && !left => others.push(record),
                Ok(item @ Item::Scratch { .. }) => items.push((record, item)),
                Ok(_) if elsewhere => others.push(record),
                Ok(item) => items.push((record, item)),
                Err(_) if left => unknown.push(record),
                Err(_) => {}
            }
        }
        Some(Orphan {
            dir: self.0,
            items,
            unknown,
            others,
            _lock: lock,
        })
    }
}

impl Store {
    /// Those that this user wrote.
    pub(super) fn pages(&self) -> Vec<Page> {
        let pages = std::fs::read_dir(self.state().join("ledger"));
        let pages = pages.into_iter().flatten().flatten();
        let paths = pages.map(|page| page.path()).filter(|path| {
            let ours = |seen: Seen| {
                seen.data().is_dir() && Owners::me().fault(path, &seen, false).is_none()
            };
            Seen::at(path).is_ok_and(ours)
        });
        paths.map(Page).collect()
    }

    /// The pages of the ledger that no living process owns.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.pages().into_iter().filter_map(Page::orphan).collect()
    }

    /// Entries that were on their way out when their remover was killed.
    pub fn garbage(&self) -> Vec<PathBuf> {
        let names = self.names().into_iter();
        let old = names.filter(|(_, name)| name.starts_with(".old-"));
        old.map(|(path, _)| path).collect()
    }

    /// Unfinished downloads that nobody has gone on with for a week.
    pub fn abandoned_parts(&self) -> Vec<PathBuf> {
        let names = std::fs::read_dir(self.entries())
            .into_iter()
            .flatten()
            .flatten();
        let abandoned = names.filter(|name| {
            let part = name.file_name().to_string_lossy().starts_with(".part-");
            let changed = name.metadata().and_then(|meta| meta.modified());
            let age = changed.ok().and_then(|at| at.elapsed().ok());
            part && age.is_some_and(|age| age > PART_KEPT)
        });
        abandoned.map(|name| name.path()).collect()
    }

    /// Removes least recently used entries until `goal` bytes are free or nothing can go; returns
    /// what went. An entry stays while another one, or a running process, needs it, and a medium as long as a
    /// recipe's lock names it.
    ///
    /// # Errors
    /// When an entry cannot be removed.
    pub fn evict(&self, mut goal: u64) -> Result<Vec<Gone>> {
        let mut gone = Vec::new();
        let mut entries: BTreeMap<Key, Entry> = self
            .all()
            .into_iter()
            .map(|e| (e.meta().key.clone(), e))
            .collect();
        let locked = match goal {
            0 => vec![],
            _ => media::locked(self, &Cache::new(self.state(), None).locked()),
        };
        while goal > 0 {
            let mut kept = self.kept_parents();
            kept.extend(locked.iter().cloned());
            kept.extend(self.stray_parents());
            let free = leaves(&entries)
                .into_iter()
                .filter(|key| !kept.contains(key));
            let candidate = free.into_iter().find_map(|key| {
                let lock = self.try_lock(&key)?;
                Some((key, lock))
            });
            let Some((key, _lock)) = candidate else { break };
            let Some(entry) = entries.remove(&key) else {
                break;
            };
            let freed = entry.allocated();
            self.note_made(&key)?;
            self.discard(entry.path())?;
            goal = goal.saturating_sub(freed.max(1));
            let meta = entry.meta();
            gone.push(Gone {
                name: format!("{} {} {}", meta.image, meta.stage, meta.key.short()),
                bytes: freed,
            });
        }
        Ok(gone)
    }

    /// The entries below what `--on-error keep` left.
    fn kept_parents(&self) -> Vec<Key> {
        let names = self.names().into_iter();
        let kept = names.filter(|(_, name)| name.starts_with(".kept-"));
        let parents =
            kept.filter_map(|(path, _)| std::fs::read_to_string(path.join("parent")).ok());
        parents.filter_map(|parent| Key::parse(&parent)).collect()
    }

    /// Makes the store not larger than `limit`: what cannot be used goes first, then the least
    /// recently used entries.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn shrink(&self, limit: Size) -> Result<Vec<Gone>> {
        self.free(self.size().saturating_sub(limit.as_bytes()))
    }

    /// Removes until `goal` bytes are free, as [`Store::shrink`] does.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn free(&self, goal: u64) -> Result<Vec<Gone>> {
        let mut gone = self.free_strays(goal)?;
        let freed: u64 = gone.iter().map(|gone| gone.bytes).sum();
        gone.extend(self.evict(goal.saturating_sub(freed))?);
        Ok(gone)
    }

    /// What all entries take, in bytes, those that cannot be used included.
    pub fn size(&self) -> u64 {
        let entries = self.all().iter().map(Entry::allocated).sum::<u64>();
        let strays = self.strays();
        entries + strays.iter().map(|stray: &Stray| stray.bytes).sum::<u64>()
    }
}

/// Entries that no other one needs, the least recently used first.
fn leaves(entries: &BTreeMap<Key, Entry>) -> Vec<Key> {
    let needed: Vec<&Key> = entries
        .values()
        .filter_map(|e| e.meta().parent.as_ref())
        .collect();
    let mut leaves: Vec<(SystemTime, &Key)> = entries
        .iter()
        .filter(|(key, _)| !needed.contains(key))
        .map(|(key, entry)| (entry.used(), key))
        .collect();
    leaves.sort();
    leaves.into_iter().map(|(_, key)| key.clone()).collect()
}
