//! What may go: unfinished work without a living owner, and the least recently used entries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Key;
use crate::error::Result;
use crate::store::ledger::Item;
use crate::store::{Entry, Store};
use crate::units::Size;

/// How long an unfinished download waits for somebody to go on with it.
const PART_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A page of the ledger whose process is gone. It is locked while it is looked at.
#[derive(Debug)]
pub struct Orphan {
    dir: PathBuf,
    /// What it names, with the record's file.
    pub items: Vec<(PathBuf, Item)>,
    _lock: std::fs::File,
}

impl Orphan {
    /// Forgets the page if all its records are gone.
    pub fn close(self) {
        if self.items.iter().all(|(record, _)| !record.exists()) {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

impl Store {
    /// The pages of the ledger that no living process owns.
    pub fn orphans(&self) -> Vec<Orphan> {
        let pages = std::fs::read_dir(self.state().join("ledger"))
            .into_iter()
            .flatten()
            .flatten();
        pages.filter_map(|page| orphan(&page.path())).collect()
    }

    /// Entries that were on their way out when their remover was killed.
    pub fn garbage(&self) -> Vec<PathBuf> {
        let names = std::fs::read_dir(self.entries())
            .into_iter()
            .flatten()
            .flatten();
        let old = names.filter(|name| name.file_name().to_string_lossy().starts_with(".old-"));
        old.map(|name| name.path()).collect()
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
    /// what went. An entry stays while another one, or a running process, needs it.
    ///
    /// # Errors
    /// When an entry cannot be removed.
    pub fn evict(&self, mut goal: u64) -> Result<Vec<Entry>> {
        let mut gone = Vec::new();
        let mut entries: BTreeMap<Key, Entry> = self
            .all()
            .into_iter()
            .map(|e| (e.meta().key.clone(), e))
            .collect();
        while goal > 0 {
            let kept = self.kept_parents();
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
            remove(self, &entry)?;
            goal = goal.saturating_sub(freed.max(1));
            gone.push(entry);
        }
        Ok(gone)
    }

    /// The entries below what `--on-error keep` left.
    fn kept_parents(&self) -> Vec<Key> {
        let names = std::fs::read_dir(self.entries())
            .into_iter()
            .flatten()
            .flatten();
        let kept = names.filter(|name| name.file_name().to_string_lossy().starts_with(".kept-"));
        let parents =
            kept.filter_map(|kept| std::fs::read_to_string(kept.path().join("parent")).ok());
        parents.filter_map(|parent| Key::parse(&parent)).collect()
    }

    /// Removes least recently used entries until the store is not larger than `limit`.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn shrink(&self, limit: Size) -> Result<Vec<Entry>> {
        let size: u64 = self.all().iter().map(Entry::allocated).sum();
        self.evict(size.saturating_sub(limit.as_bytes()))
    }
}

fn orphan(dir: &Path) -> Option<Orphan> {
    let lock = std::fs::File::open(dir.join("lock")).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    let items = std::fs::read_dir(dir).ok()?.flatten().filter_map(|file| {
        let text = std::fs::read(file.path()).ok()?;
        Some((file.path(), serde_json::from_slice(&text).ok()?))
    });
    Some(Orphan {
        dir: dir.to_owned(),
        items: items.collect(),
        _lock: lock,
    })
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

/// The name goes first, by one rename, so that nobody meets half an entry.
fn remove(store: &Store, entry: &Entry) -> Result<()> {
    use crate::error::Context as _;
    let doing = || format!("removing {}", entry.path().display());
    let old = store
        .entries()
        .join(format!(".old-{}", uuid::Uuid::new_v4().simple()));
    std::fs::rename(entry.path(), &old).doing(doing)?;
    std::fs::remove_dir_all(&old).doing(doing)
}
