//! Files that were fetched before, by address. Several processes use it at once: blobs are named
//! by their digest and appear by one rename, before anything refers to them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::{self, Hashed, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::host::{durable, lru, statedir};
use crate::lock;
use crate::units::Size;

/// Unfinished files of dead processes go after so long.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Below the cache: where the locks are whose files stay, and what they named.
const LOCKS: &str = "locks";

/// What a lock named stays for so long when it is gone: it may be in another branch.
const AWAY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The directory.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    limit: Size,
    /// Bytes of its files, as far as this process knows.
    used: Arc<AtomicU64>,
}

/// What is known about an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) url: String,
    pub(super) sha256: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
}

impl Known {
    /// The tag that only the very same bytes have, by which the mirror is asked again.
    pub(super) fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

impl Cache {
    /// The cache of a state directory, bounded to `limit`.
    pub fn new(state: &Path, limit: Option<Size>) -> Self {
        Cache {
            dir: state.join("cache"),
            limit: limit.unwrap_or(super::DEFAULT_SIZE),
            used: Arc::default(),
        }
    }

    pub(super) fn prepare(&self) -> Result<()> {
        statedir::check(self.dir.parent().unwrap_or(&self.dir))?;
        for dir in ["urls", "blobs"] {
            let dir = self.dir.join(dir);
            statedir::private_dir(&dir).doing(|| format!("making {}", dir.display()))?;
        }
        self.used.store(self.size(), Ordering::Relaxed);
        Ok(())
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.dir.join("blobs").join(&sha256[..2]).join(sha256)
    }

    fn note(&self, url: &str) -> PathBuf {
        let name = blake3::hash(url.as_bytes()).to_hex();
        self.dir.join("urls").join(&name[..2]).join(name.as_str())
    }

    /// What is kept under an address. A file that is not what it was is dropped.
    pub(super) fn get(&self, url: &str) -> Option<(Known, File)> {
        let note = self.note(url);
        let known: Known = serde_json::from_slice(&std::fs::read(&note).ok()?).ok()?;
        let shaped = known.sha256.len() == 64 && known.sha256.is_ascii();
        if known.url != url || !shaped {
            return None;
        }
        let path = self.blob(&known.sha256);
        let file = File::open(&path).ok()?;
        if digest::file_sha256(&path).ok()? != known.sha256 {
            drop(std::fs::remove_file(&path));
            drop(std::fs::remove_file(&note));
            return None;
        }
        lru::touch(&file);
        Some((known, file))
    }

    /// The file with this content, whatever its address was. One that is not what it was is dropped.
    pub(super) fn content(&self, sha256: &str) -> Option<File> {
        let path = self.blob(sha256);
        let file = File::open(&path).ok()?;
        if digest::file_sha256(&path).ok()? != sha256 {
            drop(std::fs::remove_file(&path));
            return None;
        }
        lru::touch(&file);
        Some(file)
    }

    /// Where the file with this content lies, if it is here; its bytes are not looked at.
    pub fn path(&self, sha256: &Sha256) -> Option<PathBuf> {
        Some(self.blob(sha256.as_str())).filter(|path| path.is_file())
    }

    /// Keeps what `from` gives by its digest, if that is `sha256`. It is not bounded: what a lock names does
    /// not give way.
    ///
    /// # Errors
    /// When it has another digest, or cannot be written.
    pub fn add(&self, sha256: &Sha256, mut from: impl Read) -> Result<()> {
        let doing = || format!("writing the cache {}", self.dir.display());
        self.prepare()?;
        let file = tempfile::NamedTempFile::new_in(&self.dir).doing(doing)?;
        let mut hashed = Hashed::new(file);
        std::io::copy(&mut from, &mut hashed).doing(doing)?;
        let (file, found, size) = hashed.finish();
        if found != *sha256 {
            return Err(Error::gate("a file is not what a lock names")
                .cause(format!("expected sha256 {sha256}, found {found}"))
                .hint("use nothing of it"));
        }
        let blob = self.blob(sha256.as_str());
        std::fs::create_dir_all(blob.parent().unwrap_or(&self.dir)).doing(doing)?;
        file.persist(blob)
            .map_err(|error| error.error)
            .doing(doing)?;
        self.used.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps a finished file, which lies on the cache's file system, under its address, unless it is larger
    /// than the whole cache may be. What was used least goes for it.
    pub(super) fn put(&self, known: &Known, file: &Path) -> Result<()> {
        if known.size > self.limit.as_bytes() {
            return Ok(());
        }
        self.keep(known, file)?;
        self.write_note(known)
            .doing(|| format!("writing the cache {}", self.dir.display()))
    }

    /// Keeps a finished file by its digest alone.
    pub(super) fn keep(&self, known: &Known, file: &Path) -> Result<()> {
        let limit = self.limit.as_bytes();
        if known.size > limit {
            return Ok(());
        }
        if self.used.load(Ordering::Relaxed) + known.size > limit {
            // A tenth more than is needed: not each file shall look at all others.
            let size = self.size();
            let most = (limit - limit / 10).min(limit - known.size);
            let freed = self.evict(size.saturating_sub(most))?;
            self.used
                .store(size.saturating_sub(freed), Ordering::Relaxed);
        }
        self.used.fetch_add(known.size, Ordering::Relaxed);
        let blob = self.blob(&known.sha256);
        let doing = || format!("writing {}", blob.display());
        if let Some(dir) = blob.parent() {
            std::fs::create_dir_all(dir).doing(doing)?;
        }
        std::fs::rename(file, &blob).doing(doing)
    }

    /// By one rename, but not synced: what a power loss damages is no hit.
    fn write_note(&self, known: &Known) -> std::io::Result<()> {
        let path = self.note(&known.url);
        let dir = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(known)?)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Removes the least recently used files until the cache fits its bound; returns the freed
    /// bytes.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn shrink(&self) -> Result<u64> {
        self.evict(self.size().saturating_sub(self.limit.as_bytes()))
    }

    /// Removes the least recently used files until `goal` bytes are free or nothing is left;
    /// returns the freed bytes.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn evict(&self, goal: u64) -> Result<u64> {
        if goal == 0 {
            return Ok(0);
        }
        let locked = self.locked();
        let is_locked = |file: &Path| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| locked.contains(name))
        };
        let (freed, failed) = lru::evict_but(&self.dir.join("blobs"), goal, is_locked);
        if freed > 0 {
            self.forget();
        }
        failed.map_or(Ok(freed), Err)
    }

    /// Has what the lock at `path` names stay, as long as there is a lock, and a month longer. Returns how many of its files are
    /// not here.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn keep_locked(&self, path: &Path, digests: &BTreeSet<String>) -> Result<usize> {
        let dir = self.dir.join(LOCKS);
        let doing = || format!("writing to {}", dir.display());
        self.prepare()?;
        statedir::private_dir(&dir).doing(doing)?;
        let name = blake3::hash(path.as_os_str().as_bytes()).to_hex();
        let text = lock::text(path).unwrap_or_default();
        note(&dir.join(name.as_str()), path, &lock::digests(&text))?;
        let missing = digests.iter().filter(|digest| !self.blob(digest).exists());
        Ok(missing.count())
    }

    /// The digests of all that locks name, SHA-256 in hex.
    pub fn locked(&self) -> BTreeSet<String> {
        let notes = std::fs::read_dir(self.dir.join(LOCKS));
        let notes = notes.into_iter().flatten().flatten();
        let mut all = BTreeSet::new();
        for at in notes.map(|note| note.path()) {
            let Ok(kept) = std::fs::read(&at) else {
                continue;
            };
            let mut parts = kept.splitn(2, |byte| *byte == 0);
            let path = parts.next().unwrap_or_default().to_vec();
            let path = PathBuf::from(OsString::from_vec(path));
            let before = String::from_utf8_lossy(parts.next().unwrap_or_default());
            let before = lock::digests(&before);
            match lock::text(&path) {
                Ok(text) => {
                    let named = lock::digests(&text);
                    match named == before {
                        true => drop(File::open(&at).map(|note| lru::touch(&note))),
                        // Where it cannot be written, the lock itself still says it.
                        false => drop(note(&at, &path, &named)),
                    }
                    all.extend(named);
                }
                Err(error) if error.kind() == ErrorKind::NotFound && lru::is_older(&at, AWAY) => {
                    drop(std::fs::remove_file(&at));
                }
                Err(_) => all.extend(before),
            }
        }
        all
    }

    /// Removes everything but what locks name; returns the freed bytes.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<u64> {
        for note in lru::files(&self.dir.join("urls")) {
            lru::remove(&note)?;
        }
        self.evict(u64::MAX)
    }

    /// Size of all files, in bytes.
    pub fn size(&self) -> u64 {
        lru::usage(&self.dir.join("blobs")).bytes
    }

    /// Drops what refers to nothing.
    fn forget(&self) {
        for note in lru::files(&self.dir.join("urls")) {
            let known = std::fs::read(&note)
                .ok()
                .and_then(|text| serde_json::from_slice::<Known>(&text).ok());
            let there = known.is_some_and(|known| {
                known.sha256.is_char_boundary(2) && self.blob(&known.sha256).exists()
            });
            // A fresh one may be about to get its blob back.
            if !there && lru::is_older(&note, STALE) {
                drop(std::fs::remove_file(note));
            }
        }
    }
}

/// Notes at `at` where a lock is, and what it names.
fn note(at: &Path, lock: &Path, named: &BTreeSet<String>) -> Result<()> {
    let mut text = [lock.as_os_str().as_bytes(), b"\0"].concat();
    for digest in named {
        text.extend(format!("sha256:{digest}\n").bytes());
    }
    durable::write_atomic(at, &text)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn put(cache: &Cache, url: &str, text: &str) -> Known {
        let file = cache.dir.join("new");
        std::fs::write(&file, text).unwrap();
        let known = Known {
            url: url.to_owned(),
            sha256: digest::file_sha256(&file).unwrap(),
            size: text.len() as u64,
            etag: None,
            last_modified: None,
            content_type: None,
        };
        cache.put(&known, &file).unwrap();
        known
    }

    #[test]
    fn what_is_kept_is_found_verified_and_bounded() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::new(state.path(), None);
        cache.prepare().unwrap();
        let first = put(&cache, "http://a.example/1", "12345678");
        put(&cache, "http://a.example/2", "12345678");
        put(&cache, "http://a.example/3", "abcdefgh");
        assert_eq!(cache.size(), 16, "equal files are kept once");
        let old = SystemTime::now() - Duration::from_secs(60);
        let blob = cache.blob(&first.sha256);
        File::open(&blob).unwrap().set_modified(old).unwrap();
        let smaller = Cache::new(state.path(), Some(Size::bytes(10)));
        assert_eq!(smaller.shrink().unwrap(), 8);
        assert!(cache.get("http://a.example/1").is_none());
        assert_eq!(cache.get("http://a.example/3").unwrap().0.size, 8);
        assert_eq!(smaller.shrink().unwrap(), 0);
    }

    #[test]
    fn the_bound_holds_while_files_come() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::new(state.path(), Some(Size::bytes(30)));
        cache.prepare().unwrap();
        for number in 0..20 {
            let url = format!("http://a.example/{number}");
            put(&cache, &url, &format!("file {number:03}"));
            assert!(cache.get(&url).is_some(), "{number}");
            assert!(cache.size() <= 30, "{number}: {}", cache.size());
        }
        put(&cache, "http://a.example/large", &"x".repeat(31));
        assert!(cache.get("http://a.example/large").is_none());
        assert!(cache.clear().unwrap() > 0);
        assert_eq!(cache.size(), 0);
        assert_eq!(lru::files(&cache.dir.join("urls")).count(), 0);
    }

    #[test]
    fn a_damaged_file_is_no_hit() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::new(state.path(), None);
        cache.prepare().unwrap();
        let known = put(&cache, "http://a.example/1", "12345678");
        std::fs::write(cache.blob(&known.sha256), "1234x678").unwrap();
        assert!(cache.get("http://a.example/1").is_none());
        assert_eq!(cache.size(), 0);
    }
}
