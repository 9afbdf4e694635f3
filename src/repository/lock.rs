//! The lock of a repository: who holds it may change the repository, and finishes what a killed
//! holder left.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{below, incoming, journal};
use crate::error::{Error, Result};
use crate::host::lock::wait;

const LOCK: &str = ".imgforge/lock";
const NAMES: &str = ".imgforge/names";

/// The repository's lock is ours.
#[derive(Debug)]
pub(super) struct LockGuard {
    _lock: File,
}

/// Makes the directories that a repository in `root` has at least.
pub(super) fn make(root: &Path) -> Result<()> {
    below::check_dir(root, NAMES)?;
    std::fs::create_dir_all(root.join(NAMES)).map_err(|cause| cannot_be_written(root, &cause))
}

/// Waits for the lock of the repository in `root`, then finishes what a killed holder left.
pub(super) fn hold(root: &Path, steps: &dyn Fn(&str)) -> Result<LockGuard> {
    let doing = || format!("locking {}", root.join(LOCK).display());
    below::check_dir(root, NAMES)?;
    let file = below::append(root, Path::new(LOCK));
    let file = file.map_err(|cause| cannot_be_written(root, &cause))?;
    wait(&file, FlockOperation::NonBlockingLockExclusive, doing)?;
    let held = LockGuard { _lock: file };
    journal::recover(root, steps)?;
    incoming::clean(root)?;
    Ok(held)
}

/// Waits until nobody changes the repository in `root`; that needs no right to write there. None
/// where nobody ever could: a directory without a lock.
pub(super) fn to_read(root: &Path) -> Result<Option<File>> {
    let doing = || format!("locking {}", root.join(LOCK).display());
    let file = match below::open(root, Path::new(LOCK)) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|cause| below::explained(root, LOCK, "reading", cause))?,
    };
    wait(&file, FlockOperation::NonBlockingLockShared, doing)?;
    Ok(Some(file))
}

/// What nobody may write is told with who could.
pub(super) fn cannot_be_written(root: &Path, cause: &std::io::Error) -> Error {
    let error = Error::host(format!(
        "the repository {} cannot be written",
        root.display()
    ));
    let hint = "make it writable for this user, or do this on the host that it belongs to";
    match cause.kind() {
        std::io::ErrorKind::StorageFull => error.cause(cause).hint("make room on its disk"),
        _ => error.cause(cause).hint(hint),
    }
}

/// Whether the lock is free, which it is ours then.
pub(super) fn try_now(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}
