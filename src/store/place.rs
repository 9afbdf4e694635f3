//! The state directory: whose it is, and who may read it.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::host::durable;
use crate::store::Store;

/// Every name that imgforge gives to something in a state directory, and what file systems have at
/// their root.
const OURS: &[&str] = &[
    "blocks",
    "cache",
    "digests.json",
    "epochs",
    "gnupg",
    "images",
    ".gitignore",
    ".gitkeep",
    "ledger",
    "locks",
    "logs",
    "lost+found",
    "made",
    "pins",
    "puppet",
    "records",
    "repositories",
    "store",
];

/// What every state directory has.
const PARTS: [&str; 5] = ["store", "locks", "ledger", "images", "logs"];

/// Everybody may write.
const ANYBODY: u32 = 0o002;

impl Store {
    /// Makes the state directory, readable for its owner only. One that is there keeps its
    /// permissions, and what lies in it is made for the owner only.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host) when it cannot be made or written, or the directory
    /// is somebody else's.
    pub fn prepare(&self) -> Result<()> {
        let cannot = |cause: io::Error| {
            Error::host(format!(
                "the state directory {} cannot be written",
                self.state().display()
            ))
            .cause(cause)
            .hint(ANOTHER)
        };
        self.is_ours()?;
        for dir in PARTS {
            private_dir(&self.state().join(dir)).map_err(cannot)?;
        }
        // Also for who made one and was killed.
        durable::sync_dir(self.state()).map_err(cannot)?;
        tempfile::tempfile_in(self.entries())
            .map(drop)
            .map_err(cannot)
    }

    /// Whether the state directory is there, and is one. Nothing is written to another.
    pub fn is_prepared(&self) -> bool {
        PARTS[..3]
            .iter()
            .all(|part| self.state().join(part).is_dir())
    }

    /// An existing directory is a state directory already, or empty.
    fn is_ours(&self) -> Result<()> {
        let state = self.state();
        let own = rustix::process::geteuid().as_raw();
        if state.metadata().is_ok_and(|meta| meta.uid() != own) {
            let state = state.display();
            return Err(Error::host(format!("{state} belongs to another user"))
                .cause("who owns it can change what a build takes from it")
                .hint(ANOTHER));
        }
        if self.is_prepared() {
            return Ok(());
        }
        // What cannot be looked at is told by who writes to it.
        let (Ok(meta), Ok(names)) = (state.metadata(), state.read_dir()) else {
            return Ok(());
        };
        let refuse = |why: String| {
            let state = state.display();
            Err(
                Error::host(format!("{state} is not a state directory of imgforge"))
                    .cause(why)
                    .hint(ANOTHER),
            )
        };
        let mut foreign = names.flatten().map(|entry| entry.file_name());
        if let Some(name) = foreign.find(|name| !OURS.iter().any(|ours| *ours == name)) {
            let name = name.display();
            return refuse(format!("it holds `{name}`, which imgforge did not make"));
        }
        if meta.permissions().mode() & ANYBODY != 0 {
            return refuse(
                "everybody may write there, and disks would be for all to change".into(),
            );
        }
        Ok(())
    }
}

const ANOTHER: &str =
    "choose a directory of its own with --state DIR, or `state:` in imgforge.yaml";

/// Makes a directory, and those above it that are missing, for the owner only; their names last.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    durable::create_dir(path, 0o700)
}
