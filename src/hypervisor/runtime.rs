//! A short-lived private directory for sockets, whose paths must stay under 108 bytes.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};
use crate::host::temporary;
use crate::store::ledger::{Item, Ledger, Record};

/// A directory `imgforge-XXXXXXXX` of mode 0700, in the ledger; removed when dropped.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    _record: Record,
}

impl Runtime {
    /// Makes one: below `/run` for root, `$XDG_RUNTIME_DIR` for others, else the temporary directory.
    ///
    /// # Errors
    /// When it cannot be made or written down.
    pub fn new(ledger: &Ledger) -> Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = base().join(format!("imgforge-{}", &id[..8]));
        let record = ledger.record(&Item::Scratch { path: path.clone() })?;
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .doing(|| format!("making the directory {}", path.display()))?;
        Ok(Runtime {
            path,
            _record: record,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.path));
    }
}

fn base() -> PathBuf {
    let own = if rustix::process::geteuid().is_root() {
        Some(PathBuf::from("/run"))
    } else {
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
    };
    let writable = |path: &PathBuf| {
        path.is_absolute()
            && path.as_os_str().len() <= 40
            && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
    };
    // The default of TMPDIR may be a long path of a build tree; sockets need a short one.
    [own, Some(temporary::small())]
        .into_iter()
        .flatten()
        .find(writable)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}
