//! Where finished layers and artifacts live, and who owns what is unfinished.
//!
//! ```text
//! STATE/store/KEY/       one finished stage: its files and meta.json; never changed again
//! STATE/store/.draft-ID/ an unfinished one; in the ledger; becomes KEY/ by one rename
//! STATE/store/.kept-NAME/ what --on-error keep left of a failed stage
//! STATE/store/.part-KEY  a download that is not complete; a later one goes on with it
//! STATE/locks/KEY        held exclusively by who makes KEY, shared by who uses it
//! STATE/ledger/          see [`ledger`]
//! STATE/made/KEY         a stage's result had this key once, whether or not it is still there
//! STATE/epochs/KEY       see [`epoch`]
//! STATE/images/NAME/     what the last build of an image was made from
//! STATE/blocks/          encoded blocks of packed disks; see [`crate::pack::BlockCache`]
//! STATE/logs/NAME/       logs and evidence of the last build, one of each stage
//! ```
//!
//! A layer's disk names its backing file as `../PARENT/disk.qcow2`, which is right in a draft and
//! in the store: drafts live beside the entries. So the bytes below a layer belong to it: an entry
//! is never replaced, and one whose parent is gone or another is no entry; see [`chain`].

pub mod chain;
pub mod digests;
mod entry;
pub mod epoch;
pub mod files;
pub mod gc;
pub mod inputs;
pub mod ledger;
pub mod lock;
pub mod media;
mod place;
pub mod remote;
pub mod strays;

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::host::durable;
pub use crate::host::durable::write_atomic;
pub use crate::host::statedir::private_dir;
use entry::Written;
pub use entry::{Entry, Facts, Layer, Meta, Unreadable, to_json};
use ledger::{Item, Ledger, Record};

/// What to do about a damaged note, if nothing hangs on what it said.
const FOUND_ANEW: &str = "remove it: what it remembered is found out again, or asked for";

/// The name of a layer's disk in its entry.
pub const DISK: &str = "disk.qcow2";

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
    remote: Option<Arc<remote::Remote>>,
    caller: Option<PathBuf>,
}

impl Store {
    /// Opens the state directory, which need not exist yet.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Store {
            state: state.into(),
            remote: None,
            caller: None,
        }
    }

    /// The state directory itself.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The same store, on a machine that builds what another one has planned: it goes on with the epochs
    /// and pins of that one's state directory, and leaves its logs there.
    #[must_use]
    pub fn for_caller(mut self, state: impl Into<PathBuf>) -> Self {
        self.caller = Some(state.into());
        self
    }

    /// The state directory of who planned the build, if that is another machine.
    pub(crate) fn caller(&self) -> Option<&Path> {
        self.caller.as_deref()
    }

    /// The state directory of who planned the build.
    pub fn planned_in(&self) -> &Path {
        self.caller().unwrap_or(&self.state)
    }

    fn entries(&self) -> PathBuf {
        self.state.join("store")
    }

    /// Where the last build of `image` wrote its logs.
    pub fn logs(&self, image: &str) -> PathBuf {
        self.planned_in().join("logs").join(image)
    }

    /// Where what the last build of `image` was made from is kept.
    pub fn image(&self, image: &str) -> PathBuf {
        self.state.join("images").join(image)
    }

    /// Where a failed stage of `image` is kept with `--on-error keep`.
    pub fn kept(&self, image: &str) -> PathBuf {
        self.entries().join(format!(".kept-{image}"))
    }

    /// Every entry that can be read.
    pub fn all(&self) -> Vec<Entry> {
        let names = self.names().into_iter();
        let keys = names.filter_map(|(_, name)| Key::parse(&name));
        keys.filter_map(|key| self.read(&key)).collect()
    }

    /// Path and name of whatever lies in the store.
    fn names(&self) -> Vec<(PathBuf, String)> {
        let names = std::fs::read_dir(self.entries()).into_iter().flatten();
        let named = names
            .flatten()
            .map(|e| (e.path(), e.file_name().to_string_lossy().into_owned()));
        named.collect()
    }

    /// Whether a result had this key once. Its bytes will not come back, even from equal inputs.
    pub fn was_made(&self, key: &Key) -> bool {
        self.made(key).exists() || self.entries().join(key.as_str()).exists()
    }

    fn made(&self, key: &Key) -> PathBuf {
        self.state.join("made").join(key.as_str())
    }

    /// Writes down, synced, that `key` has its bytes.
    fn note_made(&self, key: &Key) -> Result<()> {
        let path = self.made(key);
        if path.exists() {
            return Ok(());
        }
        write_atomic(&path, b"")
    }

    /// Where a medium or blob is while it is downloaded; who writes it holds the lock of `key`.
    pub fn part(&self, key: &Key) -> PathBuf {
        self.entries().join(format!(".part-{key}"))
    }

    /// Removes unfinished downloads that were not written to since `before` and are not in use.
    pub fn remove_stale_partials(&self, before: SystemTime) {
        let names = std::fs::read_dir(self.entries())
            .into_iter()
            .flatten()
            .flatten();
        for file in names {
            let name = file.file_name();
            let key = name.to_str().and_then(|name| name.strip_prefix(".part-"));
            let Some(key) = key.and_then(Key::parse) else {
                continue;
            };
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|modified| modified < before) && self.try_lock(&key).is_some() {
                // What cannot be removed is met again the next time.
                drop(std::fs::remove_file(file.path()));
                drop(std::fs::remove_file(crate::http::note_path(&file.path())));
            }
        }
    }

    /// Starts the work for `key` in a private directory.
    ///
    /// # Errors
    /// When the directory or the ledger cannot be written.
    pub fn draft(&self, ledger: &Ledger) -> Result<Draft> {
        let path = self
            .entries()
            .join(format!(".draft-{}", uuid::Uuid::new_v4().simple()));
        let record = ledger.record(&Item::Scratch { path: path.clone() })?;
        std::fs::create_dir(&path).doing(|| format!("making {}", path.display()))?;
        Ok(Draft {
            path: Some(path),
            record: Some(record),
        })
    }
}

/// An unfinished stage. Dropping it removes it.
#[derive(Debug)]
pub struct Draft {
    path: Option<PathBuf>,
    record: Option<Record>,
}

impl Draft {
    /// Its directory.
    ///
    /// # Panics
    /// Never: the path is taken only by the functions that consume the draft.
    pub fn path(&self) -> &Path {
        self.path
            .as_deref()
            .expect("a draft that is not consumed has its path")
    }

    /// Makes the draft the entry of its key: everything is synced, then renamed at once. An entry
    /// that is there already stays: a key has the same bytes for ever.
    ///
    /// # Errors
    /// When something cannot be written, or the key has an entry; nothing new is visible under the
    /// key then.
    pub fn commit<F: Facts>(self, store: &Store, meta: Meta, facts: F) -> Result<Layer<F>> {
        let path = store.entries().join(meta.key.as_str());
        if path.exists() {
            return Err(Error::internal(format!(
                "the store has an entry with the key {} already, and never replaces one",
                meta.key.short()
            ))
            .within(format!(
                "committing the {} stage of {}",
                meta.stage, meta.image
            )));
        }
        self.place(store, meta, facts, &|_| {})
    }

    /// As [`Draft::commit`], for what no layer builds on and whose key is that of its content: what
    /// is there but broken, or of another version of imgforge, gives way.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn commit_over<F: Facts>(self, store: &Store, meta: Meta, facts: F) -> Result<Layer<F>> {
        let path = store.entries().join(meta.key.as_str());
        if path.exists() {
            store.discard(&path)?;
        }
        self.place(store, meta, facts, &|_| {})
    }

    /// `step` hears of each step that is done.
    fn place<F: Facts>(
        mut self,
        store: &Store,
        mut meta: Meta,
        facts: F,
        step: &dyn Fn(&'static str),
    ) -> Result<Layer<F>> {
        let stage = format!("committing the {} stage of {}", meta.stage, meta.image);
        let doing = || stage.clone();
        let from = self.path().to_owned();
        meta.disk = store.bytes_of_draft(&from, meta.parent.as_ref())?;
        let text = to_json(&Written::new(&meta, &facts))?;
        std::fs::write(from.join("meta.json"), text).doing(doing)?;
        step("described");
        let path = self.appear(store, &meta, step)?;
        let entry = Entry { path, meta };
        entry.touch();
        Ok(Layer::new(entry, facts))
    }

    /// Makes the draft the entry that another store has, with its `meta.json`; false when its disk is not
    /// the one that this says.
    ///
    /// # Errors
    /// When something cannot be written, or the key has an entry.
    fn adopt(mut self, store: &Store, meta: &Meta, text: &[u8]) -> Result<bool> {
        let found = store.bytes_of_draft(self.path(), meta.parent.as_ref())?;
        if found != meta.disk {
            return Ok(false);
        }
        let doing = || format!("taking the {} stage of {}", meta.stage, meta.image);
        std::fs::write(self.path().join("meta.json"), text).doing(doing)?;
        let path = self.appear(store, meta, &|_| {})?;
        let meta = meta.clone();
        Entry { path, meta }.touch();
        Ok(true)
    }

    /// Everything is synced, then renamed at once.
    fn appear(
        &mut self,
        store: &Store,
        meta: &Meta,
        step: &dyn Fn(&'static str),
    ) -> Result<PathBuf> {
        let doing = || format!("committing the {} stage of {}", meta.stage, meta.image);
        let from = self.path().to_owned();
        durable::sync_tree(&from).doing(doing)?;
        step("synced");
        // First: a note without an entry costs a new key, an entry without a note its promise.
        store.note_made(&meta.key)?;
        step("noted");
        let path = store.entries().join(meta.key.as_str());
        std::fs::rename(&from, &path).doing(doing)?;
        step("renamed");
        durable::sync_dir(&store.entries()).doing(doing)?;
        self.path = None;
        Ok(path)
    }

    /// Leaves the draft at `kept` for `imgforge shell`, in place of an earlier one. The entry
    /// below it, `parent`, stays as long as it does.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn keep(mut self, kept: &Path, parent: Option<&Key>) -> Result<()> {
        let doing = || format!("keeping the failed stage at {}", kept.display());
        if kept.exists() {
            std::fs::remove_dir_all(kept).doing(doing)?;
        }
        if let Some(parent) = parent {
            std::fs::write(self.path().join("parent"), parent.as_str()).doing(doing)?;
        }
        std::fs::rename(self.path(), kept).doing(doing)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let removed = self
            .path
            .take()
            .is_none_or(|path| std::fs::remove_dir_all(path).is_ok());
        if !removed {
            // The record stays, so that the next gc tries again.
            std::mem::forget(self.record.take());
        }
    }
}

/// Reads what an earlier command has written down; nothing where none has.
///
/// # Errors
/// When it cannot be read or understood: going on as if it were not there would be another result.
pub fn remembered<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause).doing(|| format!("reading {}", path.display())),
    };
    parse(&bytes).map(Some).map_err(|cause| {
        Error::host(format!(
            "{}, which imgforge has written, is damaged",
            path.display()
        ))
        .cause(cause.to_string())
        .hint(FOUND_ANEW)
    })
}

#[cfg(test)]
mod tests;
