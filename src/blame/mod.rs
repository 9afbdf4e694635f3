//! Which layer, step and package every file of an image is from.
//!
//! When a layer is committed, its disk is read without a guest: [`index`](Index) has every path with
//! its digest, and since which layer it is so. A step is found by the time at which a file changed,
//! of which the runner's journal has both ends of each step.

mod answer;
mod carry;
mod cause;
pub mod changes;
pub(crate) mod disk;
mod downloads;
mod format;
pub(crate) mod fuzzing;
mod index;
pub(crate) mod overlay;
mod owners;
pub mod page;
mod places;
pub mod size;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use answer::{Answer, Owner};
pub(crate) use cause::named;
pub use cause::{Cause, Part, Told};
pub use format::FILE;
pub use index::{Claim, File, How, Index, Layer, Removed, Since, Step};

use crate::error::{Context as _, Kind, Result};
use crate::host::qemu_img::DiskFormat;
use crate::lock::Fetched;
use crate::pack;
use crate::ui::StageUi;
use overlay::Overlay;

/// End of the name under which an image's index is published.
pub const SUFFIX: &str = ".files.zst";

/// Name of the file in a draft that has the index of the published image below.
const PARENT: &str = "parent-files.zst";

/// Name of the file in a layer's entry that has the steps which ran in it.
const STEPS: &str = "steps.json";

/// The steps of a layer, as its stage notes them beside its disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Steps {
    steps: Vec<Step>,
}

/// Notes the steps that ran in the layer which `dir` becomes.
///
/// # Errors
/// When it cannot be written.
pub fn note_steps(dir: &Path, steps: Vec<Step>) -> Result<()> {
    let path = dir.join(STEPS);
    let text = serde_json::to_vec(&Steps { steps }).unwrap_or_default();
    std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))
}

fn noted_steps(dir: &Path) -> Vec<Step> {
    let text = std::fs::read(dir.join(STEPS)).unwrap_or_default();
    let noted: Steps = serde_json::from_slice(&text).unwrap_or_default();
    noted.steps
}

/// Notes the index of the published image below, `bytes` of its repository, for the layer that `dir` becomes.
///
/// # Errors
/// When it cannot be written.
pub fn note_parent(dir: &Path, bytes: &[u8]) -> Result<()> {
    let path = dir.join(PARENT);
    std::fs::write(&path, bytes).doing(|| format!("writing {}", path.display()))
}

/// Takes the noted index of the published image below out of `dir`; nothing where there is none.
///
/// # Errors
/// When it cannot be read, or is one of another imgforge.
pub fn take_parent(dir: &Path) -> Result<Option<Index>> {
    let path = dir.join(PARENT);
    let bytes = match std::fs::read(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.doing(|| format!("reading {}", path.display()))?,
    };
    std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
    Index::from_bytes(&bytes, "what the repository has").map(Some)
}

/// Makes the index of the layer that the draft `dir` becomes, whose qcow2 `disk` is beside it, and
/// nobody writes to; `below` is the index of the disk below, `fetched` what the stage fetched.
///
/// # Errors
/// On an interrupt. What cannot be read is told in the index: a layer is no worse without.
pub fn index_layer(
    dir: &Path,
    disk: &Path,
    layer: Layer,
    below: Option<Index>,
    fetched: &[Fetched],
    ui: &StageUi,
) -> Result<Index> {
    let layer = Layer {
        steps: noted_steps(dir),
        ..layer
    };
    match read(dir, disk, below.as_ref(), ui) {
        Ok(read) => {
            let known = below.as_ref().map(downloads::known).unwrap_or_default();
            let mut index = carry::carry(layer, read.files, read.unread, below);
            index.used = read.used;
            owners::claim(&mut index, &read.databases);
            downloads::join(&mut index, &known, fetched);
            Ok(index)
        }
        Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => Err(error),
        Err(error) => {
            ui.line(format!(
                "the files of the disk are not indexed: {}",
                error.render()
            ));
            let layers = below.map(|below| below.layers).unwrap_or_default();
            Ok(Index {
                layers: layers.into_iter().chain([layer]).collect(),
                unread: vec![format!("the disk: {}", error.message())],
                ..Index::default()
            })
        }
    }
}

fn read(dir: &Path, disk: &Path, below: Option<&Index>, ui: &StageUi) -> Result<disk::Read> {
    let (overlay, _copy) = open(disk, dir, ui)?;
    disk::read(&overlay, dir, below)
}

/// Opens a qcow2 disk that nobody writes to. One with compressed clusters, as imported ones may have, is
/// copied into a directory in `dir`, which comes back too, and goes when it is dropped.
///
/// # Errors
/// When it cannot be read or copied.
pub(crate) fn open(disk: &Path, dir: &Path, ui: &StageUi) -> Result<(Overlay, Option<TempDir>)> {
    if let Ok(overlay) = Overlay::open(disk, DiskFormat::Qcow2.as_str()) {
        return Ok((overlay, None));
    }
    let copy = tempfile::Builder::new().prefix("files-").tempdir_in(dir);
    let copy = copy.doing(|| format!("making a directory in {}", dir.display()))?;
    let raw = copy.path().join("disk.raw");
    pack::flatten(disk, DiskFormat::Qcow2.as_str(), &raw, ui)?;
    let overlay = Overlay::open(&raw, DiskFormat::Raw.as_str())?;
    Ok((overlay, Some(copy)))
}

#[cfg(test)]
mod tests;
