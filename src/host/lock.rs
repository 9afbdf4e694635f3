//! Waiting for a lock that the kernel frees when its holder ends, however it ends.

use std::fs::File;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::interrupt;
use crate::error::{Context as _, Result};

/// Waits until the lock is ours; ends early when imgforge is interrupted.
pub(crate) fn wait(
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
