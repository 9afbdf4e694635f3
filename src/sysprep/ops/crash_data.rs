//! Removes kernel dumps and core dumps.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "crash-data",
    heading: "Remove crash dumps",
    default: true,
    doc: "Removes kernel dumps and core dumps.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/var/crash/*",
    "/var/log/dump/*",
    "/var/lib/systemd/coredump/*",
    "/var/lib/systemd/pstore/*",
];
