//! Waiting for a lock that the kernel frees when its holder ends, however it ends.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// Waits until the lock is ours; ends early when imgforge is interrupted.
pub(super) fn wait(
    file: &File,
    operation: FlockOperation,
    doing: impl Fn() -> String,
) -> Result<()> {
    loop {
        interrupt::check()?;
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(Duration::from_millis(20)),
            Err(errno) => return Err(std::io::Error::from(errno)).doing(doing),
        }
    }
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
