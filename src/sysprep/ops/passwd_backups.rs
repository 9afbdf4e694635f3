//! Removes `/etc/passwd-` and its like, which still name removed users and old password hashes.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "passwd-backups",
    heading: "Remove the backups of the user database",
    default: true,
    doc: "Removes `/etc/passwd-` and its like, which still name removed users and old password hashes.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
