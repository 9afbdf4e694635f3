//! Removes the reports in `/var/spool/abrt`.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "abrt-data",
    heading: "Remove crash reports of ABRT",
    default: true,
    doc: "Removes the reports in `/var/spool/abrt`.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/spool/abrt/*"];
