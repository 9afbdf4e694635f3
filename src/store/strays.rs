//! What lies in the store and is none of this imgforge's: entries of other versions, and drafts of
//! which no living process knows. They take space, so they are counted, told and freed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::digest::Key;
use crate::error::{Context as _, Result};
use crate::host::durable;
use crate::store::Store;
use crate::store::gc::Gone;

/// Something in the store that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Allocated bytes.
    pub bytes: u64,
}

/// What a stray is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An entry whose `meta.json` says nothing to this imgforge.
    Entry(Key),
    /// An unfinished stage of which no living process knows.
    Draft,
    /// Nothing that imgforge would make; it is never removed.
    Foreign,
}

impl Kind {
    /// For people.
    pub fn describe(&self) -> &'static str {
        match self {
            Kind::Entry(_) => {
                "an entry that this imgforge cannot read, of another version or broken"
            }
            Kind::Draft => "an unfinished stage that no process works on",
            Kind::Foreign => "not made by imgforge; remove it yourself",
        }
    }
}

impl Store {
    /// What lies in the store and cannot be used.
    pub fn strays(&self) -> Vec<Stray> {
        // The names come first: a draft is in the ledger before it exists.
        let names = self.names();
        let owned = self.named_by_the_living();
        let stray = |(path, name): (PathBuf, String)| {
            let passing = [".kept-", ".part-", ".old-", ".tmp"];
            let kind = match Key::parse(&name) {
                Some(key) if self.read(&key).is_some() => return None,
                Some(key) => Kind::Entry(key),
                None if name.starts_with(".draft-") && owned.contains(&path) => return None,
                None if name.starts_with(".draft-") => Kind::Draft,
                None if passing.iter().any(|start| name.starts_with(start)) => return None,
                None if name == "lost+found" => return None,
                None => Kind::Foreign,
            };
            let bytes = allocated(&path);
            Some(Stray { path, kind, bytes })
        };
        names.into_iter().filter_map(stray).collect()
    }

    /// Removes strays until `goal` bytes are free; those that a process uses, or a layer builds on,
    /// stay.
    ///
    /// # Errors
    /// When one cannot be moved out of the way.
    pub fn free_strays(&self, mut goal: u64) -> Result<Vec<Gone>> {
        let mut gone = Vec::new();
        let needed: Vec<Key> = self
            .all()
            .into_iter()
            .filter_map(|e| e.meta.parent)
            .collect();
        for stray in self.strays() {
            if goal == 0 {
                break;
            }
            let _lock = match &stray.kind {
                Kind::Foreign => continue,
                Kind::Draft => None,
                Kind::Entry(key) if needed.contains(key) => continue,
                Kind::Entry(key) => match self.try_lock(key) {
                    Some(lock) => {
                        self.note_made(key)?;
                        Some(lock)
                    }
                    None => continue,
                },
            };
            self.discard(&stray.path)?;
            goal = goal.saturating_sub(stray.bytes.max(1));
            let name = stray.path.file_name().unwrap_or_default().to_string_lossy();
            gone.push(Gone {
                name: format!("{name}, {}", stray.kind.describe()),
                bytes: stray.bytes,
            });
        }
        Ok(gone)
    }

    /// What the strays that stay build on, as far as they tell.
    pub(super) fn stray_parents(&self) -> Vec<Key> {
        let parent = |stray: Stray| {
            let text = std::fs::read(stray.path.join("meta.json")).ok()?;
            let meta: Value = serde_json::from_slice(&text).ok()?;
            Key::parse(meta["parent"].as_str()?)
        };
        self.strays().into_iter().filter_map(parent).collect()
    }

    /// The name goes first, by one rename that lasts, so that nobody meets half of it. What cannot be
    /// removed waits for the next sweep, which can do more.
    pub(super) fn discard(&self, path: &Path) -> Result<()> {
        let old = self
            .entries()
            .join(format!(".old-{}", uuid::Uuid::new_v4().simple()));
        std::fs::rename(path, &old)
            .and_then(|()| durable::sync_dir(&self.entries()))
            .doing(|| format!("removing {}", path.display()))?;
        drop(std::fs::remove_dir_all(&old));
        Ok(())
    }

    /// Every path on a page of the ledger whose process lives, or may live.
    fn named_by_the_living(&self) -> Vec<PathBuf> {
        let pages = self.pages().into_iter().filter(|page| !page.is_dead());
        let records = pages.flat_map(|page| page.records());
        records
            .filter_map(|(_, value)| Some(PathBuf::from(value["path"].as_str()?)))
            .collect()
    }
}

/// Allocated bytes of what is at or below `path`.
pub(super) fn allocated(path: &Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    let below = match meta.is_dir() {
        true => std::fs::read_dir(path).into_iter().flatten().flatten(),
        false => return meta.blocks() * 512,
    };
    below.map(|entry| allocated(&entry.path())).sum()
}
