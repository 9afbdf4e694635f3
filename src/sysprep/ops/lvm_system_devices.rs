//! Removes the file that limits LVM to the build's disks.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "lvm-system-devices",
    heading: "Remove the list of LVM's devices",
    default: true,
    doc: "Removes the file that limits LVM to the build's disks.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/lvm/devices/system.devices",
    "/etc/lvm/devices/backup/*",
];
