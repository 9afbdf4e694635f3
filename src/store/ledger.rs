//! What this process has made outside itself, written down before it exists.
//!
//! Each process owns one directory `STATE/ledger/ID/`, with a `lock` that the kernel frees when
//! the process ends, however it ends. `imgforge gc`, and every command that works, clears what
//! the directories without a living owner name, and nothing else. Of several machines with one state
//! directory each clears its own: processes and guests are where they were begun.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::host::durable::sync_dir;
use crate::host::{ours, statedir, temporary};

/// Something that outlives a killed imgforge unless `gc` clears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Item {
    /// A directory or file of ours.
    Scratch {
        /// Absolute path.
        path: PathBuf,
    },
    /// A transient libvirt domain. Its QEMU process is found by the UUID on its command line.
    Domain {
        /// The domain's name.
        name: String,
        /// The domain's UUID.
        uuid: uuid::Uuid,
    },
    /// A process group of ours, such as the private libvirt daemon.
    Process {
        /// Process id of the leader.
        pid: u32,
        /// Start time of the leader, field 22 of `/proc/PID/stat`.
        start: u64,
    },
}

impl Item {
    /// Why it may not be cleared, if it is still there: imgforge did not make it, or not for this
    /// user. A record is no more than somebody's word.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host), with the reason.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String, why: &str| {
            Err(Error::host(format!("{what} stays: {why}"))
                .hint("if it should go, remove it by hand, then its record in the ledger"))
        };
        match self {
            Item::Scratch { path } => {
                let what = path.display().to_string();
                let Ok(found) = path.symlink_metadata() else {
                    return Ok(());
                };
                if !path.is_absolute() || !path.file_name().is_some_and(is_given) {
                    return refuse(what, "imgforge does not give such names");
                }
                if found.uid() != ours::me() || !(found.is_dir() || found.is_file()) {
                    return refuse(what, "it is not what this user made");
                }
            }
            Item::Domain { name, .. } if name.contains('/') => {
                return refuse(
                    format!("the guest {name}"),
                    "imgforge does not give such names",
                );
            }
            Item::Domain { .. } => {}
            Item::Process { pid, .. } => {
                let of = std::fs::metadata(format!("/proc/{pid}"));
                if of.is_ok_and(|of| of.uid() != ours::me()) {
                    return refuse(format!("the process {pid}"), "it is another user's");
                }
            }
        }
        Ok(())
    }
}

/// No name of a machine is longer, in bytes.
const LONGEST_NAME: u64 = 256;

/// Whether imgforge gives such a name to what it writes into a ledger.
fn is_given(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let digits = |start: &str, many: usize| {
        let rest = name.strip_prefix(start);
        rest.is_some_and(|rest| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            rest.len() == many && rest.bytes().all(is_digit)
        })
    };
    digits(".imgforge-", 32) || digits(".draft-", 32) || digits("imgforge-", 8)
}

/// This process' page of the ledger.
#[derive(Debug)]
pub struct Ledger {
    state: PathBuf,
    dir: PathBuf,
    next: AtomicU64,
    _lock: File,
}

impl Ledger {
    /// Opens a page of its own below `STATE/ledger/`.
    ///
    /// # Errors
    /// When the directory cannot be written, or is another user's.
    pub fn open(state: &Path) -> Result<Self> {
        statedir::check(state)?;
        let (dir, lock) = loop {
            let page = uuid::Uuid::new_v4().simple().to_string();
            let dir = state.join("ledger").join(page);
            if let Some(lock) = own_page(state, &dir)? {
                break (dir, lock);
            }
        };
        write_host(&dir).doing(|| format!("writing the ledger {}", dir.display()))?;
        let doing = || format!("writing the ledger {}", dir.display());
        sync_dir(&state.join("ledger")).doing(doing)?;
        Ok(Ledger {
            state: std::path::absolute(state).doing(doing)?,
            dir,
            next: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// The state directory, an absolute path.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Writes `item` down, synced; call it before the item exists.
    ///
    /// # Errors
    /// When the ledger cannot be written: the item must not be made then.
    pub fn record(&self, item: &Item) -> Result<Record> {
        let path = self.dir.join(format!(
            "{}.json",
            self.next.fetch_add(1, Ordering::Relaxed)
        ));
        let doing = || format!("writing the ledger {}", path.display());
        let text = crate::store::to_json(item)?;
        let mut file = new_file(&path).doing(doing)?;
        file.write_all(&text).doing(doing)?;
        file.sync_all().doing(doing)?;
        // The name of the record has to outlive a power loss, too.
        sync_dir(&self.dir).doing(doing)?;
        Ok(Record { path })
    }

    /// Makes a directory for what becomes the file `target`, for this user only: beside it if
    /// nobody else can touch it there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self, target: &Path) -> Result<Scratch> {
        let dir = temporary::beside(target);
        let doing = || format!("making a directory in {}", dir.display());
        let name = format!(".imgforge-{}", uuid::Uuid::new_v4().simple());
        let path = std::path::absolute(dir.join(name)).doing(doing)?;
        let record = self.record(&Item::Scratch { path: path.clone() })?;
        let mut private = std::fs::DirBuilder::new();
        private.mode(0o700).create(&path).doing(doing)?;
        Ok(Scratch {
            path,
            _record: record,
        })
    }
}

/// Makes a page and locks it. None where somebody who clears up saw it before it was locked: it is taken
/// for a dead process' then, and goes.
fn own_page(state: &Path, dir: &Path) -> Result<Option<File>> {
    let doing = || format!("writing the ledger {}", dir.display());
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(dir).doing(doing)?;
    // Somebody else may have been faster to make what was missing.
    statedir::check(state)?;
    let path = dir.join("lock");
    let lock = new_file(&path).doing(doing)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(cause) => Err(std::io::Error::from(cause)).doing(doing),
        Ok(()) => Ok(path.exists().then_some(lock)),
    }
}

/// The file of a page that names its machine.
const HOST: &str = "host";

fn this_host() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

fn write_host(page: &Path) -> std::io::Result<()> {
    let mut file = new_file(&page.join(HOST))?;
    file.write_all(&this_host())?;
    file.sync_all()
}

/// Whether what a page names was made on another machine.
pub(super) fn is_elsewhere(page: &Path) -> bool {
    let host = ours::open(&page.join(HOST)).and_then(|file| {
        let mut host = vec![];
        file.take(LONGEST_NAME).read_to_end(&mut host).map(|_| host)
    });
    host.is_ok_and(|host| !host.is_empty() && host != this_host())
}

/// What a group or others could write, whatever the umask, would not be obeyed.
fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// A directory in the ledger. Dropping it removes it with everything in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _record: Record,
}

impl Scratch {
    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the ledger no more, but a warning helps nobody after an error.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Records that are still there keep the directory for the next gc.
        for file in ["lock", HOST] {
            drop(std::fs::remove_file(self.dir.join(file)));
        }
        if std::fs::remove_dir(&self.dir).is_err() {
            drop(write_host(&self.dir));
            drop(new_file(&self.dir.join("lock")));
        }
    }
}

/// An item in the ledger. Drop it when the item is gone.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
}

impl Drop for Record {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the umask.
    #[test]
    fn nobody_else_writes_what_clearing_up_obeys() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let path = dir.path().join(".draft-0123456789abcdef0123456789abcdef");
        let record = ledger.record(&Item::Scratch { path }).unwrap();
        for file in [&record.path, &ledger.dir.join("lock")] {
            assert_eq!(file.metadata().unwrap().permissions().mode(), 0o100_600);
        }
    }

    #[test]
    fn each_machine_clears_what_it_has_begun_itself() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let page = ledger.dir.clone();
        let record = ledger.record(&Item::Process { pid: 1, start: 1 }).unwrap();
        drop(ledger);
        let store = crate::store::Store::new(dir.path());
        let orphans = || -> usize { store.orphans().iter().map(|page| page.items.len()).sum() };
        assert_eq!(orphans(), 1);
        std::fs::write(page.join(HOST), "another").unwrap();
        assert_eq!(orphans(), 0);
        store
            .orphans()
            .into_iter()
            .for_each(crate::store::gc::Orphan::close);
        // A draft is where all machines see it; that one may never come back.
        let draft = dir.path().join(".draft-0123456789abcdef0123456789abcdef");
        std::fs::create_dir(&draft).unwrap();
        let item = Item::Scratch {
            path: draft.clone(),
        };
        std::fs::write(page.join("9.json"), crate::store::to_json(&item).unwrap()).unwrap();
        assert_eq!(orphans(), 1);
        std::fs::remove_dir(&draft).unwrap();
        assert_eq!(orphans(), 0);
        std::fs::remove_file(page.join("9.json")).unwrap();
        // One of before machines were written down.
        std::fs::remove_file(page.join(HOST)).unwrap();
        assert_eq!(orphans(), 1);
        drop(record);
        drop(Ledger::open(dir.path()).unwrap());
        assert_eq!(
            std::fs::read_dir(dir.path().join("ledger"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn only_names_that_imgforge_gives_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        for (name, given) in [
            (format!(".imgforge-{id}"), true),
            (format!(".draft-{id}"), true),
            ("imgforge-01234567".into(), true),
            ("precious".into(), false),
            (".imgforge-".into(), false),
            (".draft-0123".into(), false),
            ("imgforge-0123456g".into(), false),
            (format!(".draft-{id}0"), false),
        ] {
            let path = dir.path().join(&name);
            let item = Item::Scratch { path: path.clone() };
            assert!(item.check().is_ok(), "what is gone stays gone: {name}");
            std::fs::create_dir(&path).unwrap();
            assert_eq!(item.check().is_ok(), given, "{name}");
            std::fs::remove_dir(&path).unwrap();
            std::os::unix::fs::symlink("/etc", &path).unwrap();
            assert!(item.check().is_err(), "a link is nothing of ours: {name}");
        }
        let name = "../../../etc/x".to_owned();
        let uuid = uuid::Uuid::nil();
        assert!(Item::Domain { name, uuid }.check().is_err());
        let pid = std::process::id();
        assert!(Item::Process { pid, start: 0 }.check().is_ok());
    }
}
