//! Removes failed logins and console locks.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "pam-data",
    heading: "Remove the state of PAM",
    default: true,
    doc: "Removes failed logins and console locks.",
    run,
};

const PATHS: &[&str] = &[
    "/run/console/*",
    "/run/faillock/*",
    "/run/sepermit/*",
    "/var/lib/faillock/*",
];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
