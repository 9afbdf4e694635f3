//! Takes everything from a machine's disk that must not be in its clones.
//!
//! An operation is one file in `ops/` and one line in [`OPERATIONS`], by the names that
//! virt-sysprep uses where it has one. What an operation promises:
//!
//! * **Idempotent**: a second run changes nothing, not even a time stamp; only those that make new
//!   UUIDs make new ones each time.
//! * **Forgiving**: a missing file is no error; a file that cannot be removed is.
//! * **Narrow**: it changes only what its `doc` says. The file operations mount and unmount
//!   nothing, and run no program of the guest, which may lack a shell or have another processor.
//! * **Final**: nothing fills again what another operation emptied; [`seal`] looks at the end.
//! * It leaves alone what the image [declares](Declared).

mod accounts;
mod allocated;
mod ca_store;
pub mod file;
mod journals;
mod list;
mod locked;
pub mod ops;
mod os_release;
mod seal;
mod select;
mod selinux;
mod site;
mod trim;

use crate::error::Result;

pub use crate::steps::Declared;
pub use accounts::Account;
pub use allocated::allocated;
pub use journals::empty_journals;
pub use list::{markdown, table};
pub use ops::OPERATIONS;
pub use os_release::ImageIdentity;
pub use seal::{Seal, SealProgress, seal};
pub use select::{REFUSED, refused, select, words};
pub use selinux::Labels;
pub use site::GuestRoot;
pub use trim::{How, OVERLAY_CLUSTER, TrimReport, Trimmed};

/// One thing that sealing does.
#[derive(Debug)]
pub struct Operation {
    /// Its name in recipes.
    pub name: &'static str,
    /// What it does, in a few words, for progress and lists.
    pub heading: &'static str,
    /// Whether `default` contains it.
    pub default: bool,
    /// What exactly it does, for the documentation.
    pub doc: &'static str,
    /// Does it.
    pub run: Run,
}

/// The work of an operation.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Removes these files and trees, see [`GuestRoot::remove`].
    Remove(&'static [&'static str]),
    /// Removes what these match but for directories, see [`GuestRoot::remove_files`].
    RemoveFiles(&'static [&'static str]),
    /// On the mounted file systems.
    Files(for<'s, 'g> fn(&'s mut GuestRoot<'g>) -> Result<()>),
    /// On the disks, after all others and while nothing is mounted.
    Devices(for<'s, 'g> fn(&'s mut GuestRoot<'g>) -> Result<()>),
}
