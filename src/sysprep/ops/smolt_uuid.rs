//! Removes the UUID of the hardware profiler.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "smolt-uuid",
    heading: "Remove the identity of Smolt",
    default: true,
    doc: "Removes the UUID of the hardware profiler.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/sysconfig/hw-uuid",
    "/etc/smolt/uuid",
    "/etc/smolt/hw-uuid",
];
