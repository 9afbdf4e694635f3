//! Removes failed logins and console locks.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "pam-data",
    heading: "Remove the state of PAM",
    default: true,
    doc: "Removes failed logins and console locks.",
    run: Run::RemoveFiles(PATHS),
};

const PATHS: &[&str] = &[
    "/var/run/console/*",
    "/var/run/faillock/*",
    "/var/run/sepermit/*",
    "/run/console/*",
    "/run/faillock/*",
    "/run/sepermit/*",
    "/var/lib/faillock/*",
];
