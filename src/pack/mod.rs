//! From a sealed disk to one `.xz` that virt-builder decompresses in parallel.
//!
//! [`flatten`] turns the qcow2 chain into a sparse raw file, [`compress`] that into one xz stream
//! of independent blocks. The same disk and profile always give the same bytes.

mod container;
mod encode;
mod flatten;
mod plan;
mod source;
mod xz;

pub use flatten::{Flattened, flatten};
pub use plan::{Options, Settings};
pub use xz::{Packed, compress};
