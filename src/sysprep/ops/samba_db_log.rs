//! Removes the server's identity and secrets.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "samba-db-log",
    heading: "Remove the databases and logs of Samba",
    default: true,
    doc: "Removes the server's identity and secrets.",
    run: Run::RemoveFiles(PATHS),
};

const PATHS: &[&str] = &[
    "/var/log/samba/*",
    "/var/log/samba/old/*",
    "/var/lib/samba/*",
    "/var/lib/samba/*/*",
    "/var/cache/samba/*",
];
