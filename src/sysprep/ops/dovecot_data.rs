//! Removes what the mail server Dovecot generated.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "dovecot-data",
    heading: "Remove the state of Dovecot",
    default: true,
    doc: "Removes what the mail server Dovecot generated.",
    run: Run::RemoveFiles(PATHS),
};

const PATHS: &[&str] = &["/var/lib/dovecot/*"];
