//! Removes `/etc/passwd-` and its like, which still name removed users and old password hashes.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "passwd-backups",
    heading: "Remove the backups of the user database",
    default: true,
    doc: "Removes `/etc/passwd-` and its like, which still name removed users and old password hashes.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
];
