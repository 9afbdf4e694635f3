//! Blobs on their way in: copied, verified and synced beside the repository's own files, so that
//! one rename moves each to its place.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512};

use super::{files, lock};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// A directory of files on their way in; what is still there is removed with it.
#[derive(Debug)]
pub(super) struct Incoming {
    dir: PathBuf,
    _lock: File,
}

impl Incoming {
    /// Makes a directory of its own below `.imgforge/incoming`; the caller holds the repository's lock.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        let dir = parent.join(uuid::Uuid::new_v4().simple().to_string());
        let doing = || format!("writing {}", dir.display());
        std::fs::create_dir_all(&dir).doing(doing)?;
        let file = File::create(dir.join("lock")).doing(doing)?;
        if !lock::try_now(&file) {
            return Err(Error::internal(format!(
                "{} is in use already",
                dir.display()
            )));
        }
        Ok(Incoming { dir, _lock: file })
    }

    /// Where a file on its way in lies.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join("files").join(name)
    }

    /// Copies a file in, synced.
    ///
    /// # Errors
    /// When it is not what `expected` says: size in bytes, and SHA-512.
    pub(super) fn copy(
        &self,
        name: &str,
        from: &Path,
        expected: Option<(u64, &str)>,
    ) -> Result<()> {
        files::create_dir(&self.dir.join("files"))?;
        let to = self.path(name);
        let reading = || format!("reading {}", from.display());
        let writing = || format!("writing {}", to.display());
        let mut source = File::open(from).doing(reading)?;
        let mut target = File::create(&to).doing(writing)?;
        let (mut hasher, mut size) = (Sha512::new(), 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            interrupt::check()?;
            let count = source.read(&mut buffer).doing(reading)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
            target.write_all(&buffer[..count]).doing(writing)?;
        }
        target.sync_all().doing(writing)?;
        let found = hex::encode(hasher.finalize());
        match expected {
            Some(expected) if expected != (size, found.as_str()) => Err(Error::stage(format!(
                "{} is not what was packed",
                from.display()
            ))
            .cause(format!("it has {size} bytes and the SHA-512 {found}"))
            .hint("build the image again: `imgforge build NAME --from pack`")),
            _ => Ok(()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now, the next holder of the repository's lock removes.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Removes what killed publishers left; the caller holds the repository's lock.
pub(super) fn clean(parent: &Path) -> Result<()> {
    let doing = || format!("cleaning {}", parent.display());
    let entries = match std::fs::read_dir(parent) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.doing(doing)?,
    };
    for entry in entries {
        let dir = entry.doing(doing)?.path();
        let alive = File::open(dir.join("lock")).is_ok_and(|file| !lock::try_now(&file));
        if !alive {
            // Its owner may just be removing it, too.
            drop(std::fs::remove_dir_all(&dir));
        }
    }
    Ok(())
}
