//! Disks by `qemu-img`.

use std::path::Path;

use super::exec::Program;
use crate::error::Result;
use crate::units::Size;

/// QEMU's usual cluster, in bytes.
pub const CLUSTER: u64 = 64 << 10;

/// Makes `dir/name` as a qcow2 overlay of `backing`, a path as `dir` sees it.
///
/// # Errors
/// When `qemu-img` fails.
pub fn overlay(dir: &Path, backing: &Path, name: &str, cluster: u64) -> Result<()> {
    overlay_of(dir, backing, "qcow2", name, cluster)
}

/// As [`overlay`], of a backing file in this format.
///
/// # Errors
/// When `qemu-img` fails.
pub fn overlay_of(
    dir: &Path,
    backing: &Path,
    format: &str,
    name: &str,
    cluster: u64,
) -> Result<()> {
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
        .arg(backing)
        .args(["-o", &format!("cluster_size={cluster}")])
        .arg(name)
        .dir(dir)
        .run()
}

/// Gives the qcow2 `disk` another virtual size.
///
/// # Errors
/// When `qemu-img` fails, as for a smaller one.
pub fn resize(disk: &Path, size: Size) -> Result<()> {
    Program::new("qemu-img")
        .args(["resize", "-q", "-f", "qcow2"])
        .arg(disk)
        .arg(size.as_bytes().to_string())
        .run()
}
