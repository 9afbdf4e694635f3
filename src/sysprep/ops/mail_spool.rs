//! Removes the mail that local programs sent to users.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "mail-spool",
    heading: "Remove mail",
    default: true,
    doc: "Removes the mail that local programs sent to users.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/spool/mail/*", "/var/mail/*"];
