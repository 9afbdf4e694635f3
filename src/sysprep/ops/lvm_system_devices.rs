//! Removes the file that limits LVM to the build's disks.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "lvm-system-devices",
    heading: "Remove the list of LVM's devices",
    default: true,
    doc: "Removes the file that limits LVM to the build's disks.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/etc/lvm/devices/system.devices",
    "/etc/lvm/devices/backup/*",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
