//! From a sealed disk to one `.xz` that virt-builder decompresses in parallel.
//!
//! [`flatten`] turns the qcow2 chain into a sparse raw file, [`compress`] that into one xz stream
//! of independent blocks, [`read`] is the way back. The same disk and profile always give the same
//! bytes, whatever the [`BlockCache`] holds. docs/pack.md tells what was measured.

mod cache;
mod container;
mod encode;
mod flatten;
mod output;
mod plan;
mod pool;
mod progress;
mod raw;
pub mod read;
mod source;
mod xz;

pub use cache::BlockCache;
pub use flatten::{Flattened, flatten};
pub use plan::{Filter, Options, Profile, Settings};
pub use xz::{Packed, compress, compress_open};
