//! Removes what the mail server Dovecot generated.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "dovecot-data",
    heading: "Remove the state of Dovecot",
    default: true,
    doc: "Removes what the mail server Dovecot generated.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/lib/dovecot/*"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove_files(PATHS)
}
