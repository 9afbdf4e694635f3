//! Removes what belongs to the host that last opened the database; rpm makes it anew.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "rpm-db",
    heading: "Remove the lock files of the RPM database",
    default: true,
    doc: "Removes what belongs to the host that last opened the database; rpm makes it anew.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/lib/rpm/__db.*"];
