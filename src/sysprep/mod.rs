//! Takes everything from a machine's disk that must not be in its clones.
//!
//! An operation is one file in `ops/` and one line in [`OPERATIONS`], by the names that
//! virt-sysprep uses where it has one. What an operation promises:
//!
//! * **Idempotent**: a second run changes nothing, not even a time stamp.
//! * **Forgiving**: a missing file is no error; a file that cannot be removed is.
//! * **Narrow**: it changes only what its `doc` says, mounts and unmounts nothing, and runs no
//!   program of the guest, which may lack a shell or have another processor.
//! * **Final**: nothing fills again what another operation emptied; [`seal`] looks at the end.
//! * It leaves alone what [`Site`] was told to keep.

pub mod ops;
mod os_release;
mod seal;
mod select;
mod site;
mod trim;

use crate::error::Result;

pub use ops::OPERATIONS;
pub use os_release::ImageIdentity;
pub use seal::{Report, Seal, seal};
pub use select::select;
pub use site::Site;
pub use trim::{How, OVERLAY_CLUSTER, Trimmed};

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
    pub run: for<'s, 'g> fn(&'s mut Site<'g>) -> Result<()>,
}
