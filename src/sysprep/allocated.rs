//! How much of a disk image holds data.

use std::path::Path;

use crate::error::{Context as _, Result};
use crate::host::qemu_img::qemu_img;

/// One stretch in `qemu-img map --output=json`.
#[derive(serde::Deserialize)]
struct Stretch {
    length: u64,
    zero: bool,
    data: bool,
}

/// The bytes of a disk that hold data, over its whole chain of backing files: what neither is a
/// hole nor reads as zero without being looked at.
///
/// # Errors
/// When `qemu-img` cannot read the disk.
pub fn allocated(disk: &Path, format: &str) -> Result<u64> {
    let stretches: Vec<Stretch> = qemu_img(["map", "--output=json", "-f", format])
        .on_disk(disk, format)?
        .json()
        .doing(|| format!("measuring {}", disk.display()))?;
    Ok(stretches
        .iter()
        .filter(|stretch| stretch.data && !stretch.zero)
        .map(|stretch| stretch.length)
        .sum())
}
