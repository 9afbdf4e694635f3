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

use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Context as _, Result};

pub use cache::{BlockCache, Usage};
pub use flatten::{Flattened, flatten};
pub use plan::{Options, Settings};
pub use xz::{Packed, compress};

/// A file that becomes `path` by [`appear`], and nothing before that.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".imgforge-")
        .permissions(mode)
        .tempfile_in(dir.unwrap_or(Path::new(".")))
        .doing(|| format!("writing {}", path.display()))
}

/// Gives a file of [`beside`], which is complete and synced, its name.
fn appear(file: NamedTempFile, path: &Path) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    file.persist(path)
        .map_err(|error| error.error)
        .doing(doing)?;
    Ok(())
}
