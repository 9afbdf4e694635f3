//! Digests of the files that stages read, remembered by inode, size and times.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::statedir;
use crate::mutex::Unpoisoned as _;
use crate::store::Store;
use crate::time::now;

/// A file changed within this many seconds before it was read may change again without a trace
/// in its times; its digest is not remembered.
const RACY_SECONDS: i64 = 2;

/// What identifies the content of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// The memory of digests, in `STATE/digests.json`. Losing it costs time, never correctness.
#[derive(Debug)]
pub struct Digests {
    file: PathBuf,
    known: Mutex<HashMap<PathBuf, (Stamp, String)>>,
    grown: Mutex<bool>,
}

impl Digests {
    /// Reads the memory of the state directory; a missing or broken file, or one in a directory
    /// that others may write, is an empty memory.
    pub fn open(state: &Path) -> Self {
        let file = state.join("digests.json");
        let known = statedir::check(state)
            .ok()
            .and_then(|()| std::fs::read(&file).ok())
            .and_then(|text| serde_json::from_slice(&text).ok());
        Digests {
            file,
            known: Mutex::new(known.unwrap_or_default()),
            grown: Mutex::new(false),
        }
    }

    /// The BLAKE3 digest of a file, in hex.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file(&self, path: &Path) -> Result<String> {
        let doing = || format!("reading {}", path.display());
        let stamp = Stamp::of(&std::fs::metadata(path).doing(doing)?);
        let mut known = self.known.lock().unpoisoned();
        if let Some((_, digest)) = known.get(path).filter(|(seen, _)| *seen == stamp) {
            return Ok(digest.clone());
        }
        let digest = digest::file_blake3(path)?;
        let now = now() as i64;
        let settled = now - stamp.modified.0.max(stamp.changed.0) > RACY_SECONDS;
        if settled && Stamp::of(&std::fs::metadata(path).doing(doing)?) == stamp {
            known.insert(path.to_owned(), (stamp, digest.clone()));
            *self.grown.lock().unpoisoned() = true;
        }
        Ok(digest)
    }

    /// Every file at or below `path`: its name below it (empty for a file), and a text of its
    /// kind, permissions and digest. Sorted by name. Symbolic links count as links.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn walk(&self, path: &Path) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        self.visit(path, String::new(), &mut found)?;
        found.sort();
        Ok(found)
    }

    fn visit(&self, path: &Path, name: String, found: &mut Vec<(String, String)>) -> Result<()> {
        let doing = || format!("reading {}", path.display());
        // The path that the recipe names is followed if it is a link; what is below is not.
        let meta = if name.is_empty() {
            path.metadata()
        } else {
            path.symlink_metadata()
        };
        let meta = meta.doing(doing)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() {
            let to = std::fs::read_link(path).doing(doing)?;
            found.push((name, format!("link {}", to.display())));
        } else if meta.is_dir() {
            found.push((format!("{name}/"), format!("directory {mode:o}")));
            for entry in std::fs::read_dir(path).doing(doing)? {
                let entry = entry.doing(doing)?;
                let below = entry.file_name().into_string().map_err(|name| {
                    let at = path.join(name);
                    Error::usage(format!("{} has a name that is not UTF-8", at.display()))
                        .hint("rename it: two such names would count as one")
                })?;
                let below = if name.is_empty() {
                    below
                } else {
                    format!("{name}/{below}")
                };
                self.visit(&entry.path(), below, found)?;
            }
        } else {
            found.push((name, format!("file {mode:o} {}", self.file(path)?)));
        }
        Ok(())
    }
}

impl Drop for Digests {
    fn drop(&mut self) {
        if !*self.grown.lock().unpoisoned() {
            return;
        }
        // A plan makes no state directory, and writes to none of somebody else.
        let state = self.file.parent().unwrap_or(Path::new(""));
        if !Store::new(state).is_prepared() {
            return;
        }
        let known = self.known.lock().unpoisoned();
        let Ok(text) = serde_json::to_vec(&*known) else {
            return;
        };
        drop(super::write_atomic(&self.file, &text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_content_mode_or_name_changes_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("sub")).unwrap();
        std::fs::write(tree.join("sub/a"), "one").unwrap();
        let digests = Digests::open(dir.path());
        let before = digests.walk(&tree).unwrap();
        std::fs::write(tree.join("sub/a"), "two").unwrap();
        let content = digests.walk(&tree).unwrap();
        std::fs::set_permissions(
            tree.join("sub/a"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mode = digests.walk(&tree).unwrap();
        std::fs::rename(tree.join("sub/a"), tree.join("sub/b")).unwrap();
        let name = digests.walk(&tree).unwrap();
        let all = [&before, &content, &mode, &name];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{all:?}");
    }

    #[test]
    fn a_name_that_may_be_taken_for_another_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let name = std::ffi::OsStr::from_bytes(b"a\xff");
        std::fs::write(tree.join(name), "").unwrap();
        let error = Digests::open(dir.path()).walk(&tree).unwrap_err();
        assert!(error.render().contains("not UTF-8"), "{}", error.render());
    }

    #[test]
    fn a_settled_file_is_remembered_across_processes_and_a_fresh_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (old, fresh) = (PathBuf::from("/bin/sh"), dir.path().join("f"));
        std::fs::write(&fresh, "x").unwrap();
        let state = dir.path().join("state");
        Store::new(&state).prepare().unwrap();
        let digests = Digests::open(&state);
        let (one, two) = (digests.file(&old).unwrap(), digests.file(&fresh).unwrap());
        drop(digests);
        let again = Digests::open(&state);
        {
            let known = again.known.lock().unwrap();
            assert_eq!(known.get(&old).map(|(_, digest)| digest), Some(&one));
            assert!(!known.contains_key(&fresh));
        }
        assert_eq!(again.file(&fresh).unwrap(), two);
    }
}
