//! Removes the mail that local programs sent to users.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "mail-spool",
    heading: "Remove mail",
    default: true,
    doc: "Removes the mail that local programs sent to users.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/spool/mail/*", "/var/mail/*"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
