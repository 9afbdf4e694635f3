//! Files of a guest that lie unpacked on the host: data, of which nothing is ever started here.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::mutex::Unpoisoned as _;

/// The trees that exist now, without symbolic links.
static TREES: Mutex<Vec<PathBuf>> = Mutex::new(vec![]);

/// Programs that start another one, which the door could not look at; the first of them has its
/// own way through it, [`Program::in_namespaces`](super::Program::in_namespaces).
const STARTERS: &[&str] = &[
    "unshare",
    "chroot",
    "nsenter",
    "systemd-nspawn",
    "switch_root",
    "pivot_root",
    "bwrap",
    "setpriv",
    "env",
    "sudo",
    "su",
    "runuser",
    "setsid",
    "timeout",
    "prlimit",
];

/// The directory of a guest's unpacked files.
///
/// It is no path: neither [`Program::new`](super::Program::new), which takes a name of this source,
/// nor [`Program::at`](super::Program::at) takes it for a program, and while it lives the door
/// starts nothing that lies in it, however it is called.
#[derive(Debug)]
pub struct GuestTree {
    root: PathBuf,
    known: PathBuf,
}

impl GuestTree {
    /// The tree in this directory, which another program may still have to make.
    ///
    /// # Errors
    /// When its parent is no directory.
    pub fn new(root: PathBuf) -> std::io::Result<Self> {
        let absolute = std::path::absolute(&root)?;
        let known = match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
            _ => absolute,
        };
        trees().push(known.clone());
        Ok(GuestTree { root, known })
    }

    /// Its path, for who reads and writes files, and as an argument of who does.
    pub fn data(&self) -> &Path {
        &self.root
    }
}

impl Drop for GuestTree {
    fn drop(&mut self) {
        let mut trees = trees();
        if let Some(at) = trees.iter().position(|tree| *tree == self.known) {
            trees.swap_remove(at);
        }
    }
}

fn trees() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    TREES.lock().unpoisoned()
}

/// Refuses to start what is a guest's, and what would start another program unseen.
pub(super) fn check(program: &Path) -> Result<()> {
    let real = program
        .canonicalize()
        .unwrap_or_else(|_| program.to_owned());
    if trees().iter().any(|tree| real.starts_with(tree)) {
        return Err(Error::internal(format!(
            "{} belongs to a guest, and nothing of a guest is started on the host",
            program.display()
        )));
    }
    let name = program.file_name().and_then(|name| name.to_str());
    match name.filter(|name| STARTERS.contains(name)) {
        Some(name) => Err(Error::internal(format!(
            "`{name}` starts another program, which nobody has looked at"
        ))),
        None => Ok(()),
    }
}
