//! Takes everything from a machine's disk that must not be in its clones.
//!
//! An operation is one file in `ops/` and one name in [`OPERATIONS`], by the names that
//! virt-sysprep uses where it has one. What an operation promises:
//!
//! * **Idempotent**: a second run changes nothing, not even a time stamp; only those that make new
//!   UUIDs make new ones each time.
//! * **Forgiving**: a missing file is no error; a file that cannot be removed is.
//! * **Narrow**: it changes only what its `doc` says. The file operations mount and unmount
//!   nothing, and run no program of the guest, which may lack a shell or have another processor.
//! * **Final**: nothing fills again what another operation emptied; [`seal`] looks at the end.
//! * It leaves alone what the image [declares](Declared).

pub(crate) mod accounts;
mod ca_store;
pub mod file;
mod guest_root;
mod journals;
mod list;
mod locked;
mod operation;
pub mod ops;
mod os_release;
mod seal;
mod select;
mod selinux;
mod trim;

pub use crate::steps::Declared;
pub use accounts::Account;
pub use guest_root::GuestRoot;
pub use journals::empty_journals;
pub use list::{markdown, table};
pub use operation::{OnFiles, Operation, Origin, Run};
pub use ops::OPERATIONS;
pub use os_release::ImageIdentity;
pub use seal::{Seal, SealProgress, seal};
pub use select::{REFUSED, refused, select, words};
pub use selinux::Labels;
pub use trim::{OVERLAY_CLUSTER, TrimMethod, TrimReport, Trimmed};
