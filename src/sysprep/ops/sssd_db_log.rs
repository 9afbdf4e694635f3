//! Removes cached identities and credentials.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "sssd-db-log",
    heading: "Remove the databases and logs of SSSD",
    default: true,
    doc: "Removes cached identities and credentials.",
    run: Run::RemoveFiles(PATHS),
};

const PATHS: &[&str] = &["/var/log/sssd/*", "/var/lib/sss/db/*"];
