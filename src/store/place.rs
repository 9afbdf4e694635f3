//! The state directory: whose it is, and who may read it.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::error::{Error, Result};
use crate::host::statedir::{ANOTHER, NAMES, check, of_another, private_dir};
use crate::host::{durable, ours};
use crate::store::Store;

/// What every state directory has.
const PARTS: [&str; 5] = ["store", "locks", "ledger", "images", "logs"];

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
        self.is_a_state()?;
        for dir in PARTS {
            private_dir(&self.state().join(dir)).map_err(cannot)?;
        }
        // Somebody else may have been faster to make what was missing.
        check(self.state())?;
        // Also for who made one and was killed.
        durable::sync_dir(self.state()).map_err(cannot)?;
        tempfile::tempfile_in(self.entries())
            .map(drop)
            .map_err(cannot)
    }

    /// Whether the state directory is there, and is one. Nothing is written to another.
    pub fn is_prepared(&self) -> bool {
        self.has_parts() && check(self.state()).is_ok()
    }

    fn has_parts(&self) -> bool {
        PARTS[..3].iter().all(|part| {
            let part = self.state().join(part).symlink_metadata();
            part.is_ok_and(|found| found.is_dir())
        })
    }

    /// An existing directory is a state directory already, or empty, and nobody else's.
    fn is_a_state(&self) -> Result<()> {
        let state = self.state();
        if state.metadata().is_ok_and(|meta| meta.uid() != ours::me()) {
            return Err(of_another(state));
        }
        // What cannot be looked at is told by who writes to it.
        let names = state.read_dir().into_iter().flatten().flatten();
        let mut foreign = names.map(|entry| entry.file_name());
        match foreign.find(|name| !NAMES.iter().any(|ours| *ours == name)) {
            Some(name) if !self.has_parts() => {
                let why = format!("it holds `{}`, which imgforge did not make", name.display());
                let state = state.display();
                let what = format!("{state} is not a state directory of imgforge");
                Err(Error::host(what).cause(why).hint(ANOTHER))
            }
            _ => check(state),
        }
    }
}
