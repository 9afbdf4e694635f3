//! Locks that the kernel frees when their holder dies.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::digest::Key;
use crate::error::{Context as _, Result};
use crate::host::{interrupt, ours};
use crate::store::Store;

/// A held lock.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// A program that another thread starts has a copy of the file until it begins: closing ours
    /// would leave the key in use for that moment, and `gc` would pass over it.
    fn drop(&mut self) {
        flock(&self.0, FlockOperation::Unlock).ok();
    }
}

impl Store {
    /// Waits until no other process makes `key`; `waiting` is told once whom it waits for.
    ///
    /// # Errors
    /// When the lock file cannot be written, or on an interrupt.
    pub fn lock(&self, key: &Key, waiting: impl FnOnce(u32)) -> Result<Lock> {
        self.lock_as(key, FlockOperation::NonBlockingLockExclusive, waiting)
    }

    /// Marks `key` as in use, so that no `gc` removes it.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn share(&self, key: &Key) -> Result<Lock> {
        self.lock_as(key, FlockOperation::NonBlockingLockShared, |_| {})
    }

    /// The exclusive lock if nobody makes or uses `key`.
    pub fn try_lock(&self, key: &Key) -> Option<Lock> {
        let file = self.lock_file(key).ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .ok()
            .map(|()| Lock(file))
    }

    fn lock_file(&self, key: &Key) -> std::io::Result<File> {
        let path = self.state().join("locks").join(key.as_str());
        let mut writable = OpenOptions::new();
        writable.read(true).write(true).create(true).truncate(false);
        let writable = ours::no_link(&mut writable).open(&path);
        match writable {
            // Who only uses what a read-only state directory holds needs no more than to read.
            Err(cause)
                if matches!(
                    cause.kind(),
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
                ) =>
            {
                let mut readable = OpenOptions::new();
                let opened = ours::no_link(readable.read(true)).open(&path);
                opened.map_err(|_| cause)
            }
            opened => opened,
        }
    }

    fn lock_as(&self, key: &Key, how: FlockOperation, waiting: impl FnOnce(u32)) -> Result<Lock> {
        let doing = || format!("locking {}", key.short());
        let mut file = self.lock_file(key).doing(doing)?;
        let mut waiting = Some(waiting);
        while let Err(error) = flock(&file, how) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(std::io::Error::from(error)).doing(doing);
            }
            if let Some(waiting) = waiting.take() {
                let mut holder = String::new();
                drop(
                    file.rewind()
                        .and_then(|()| file.read_to_string(&mut holder)),
                );
                waiting(holder.trim().parse().unwrap_or_default());
            }
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        if how == FlockOperation::NonBlockingLockExclusive {
            // Only for the message of who waits: a lock without a readable holder is a lock too.
            drop(file.set_len(0).and_then(|()| file.rewind()));
            drop(write!(file, "{}", std::process::id()));
        }
        Ok(Lock(file))
    }
}

impl Lock {
    /// Another descriptor of its file.
    #[cfg(test)]
    pub(super) fn copy(&self) -> File {
        self.0.try_clone().unwrap()
    }

    /// Goes on as a user of the entry: others may use it too, `gc` may not remove it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn downgrade(self) -> Result<Lock> {
        let shared = flock(&self.0, FlockOperation::LockShared);
        shared
            .map_err(std::io::Error::from)
            .doing(|| "locking an entry of the store".into())?;
        Ok(self)
    }
}
