//! Removes cached identities and credentials.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "sssd-db-log",
    heading: "Remove the databases and logs of SSSD",
    default: true,
    doc: "Removes cached identities and credentials.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/log/sssd/*", "/var/lib/sss/db/*"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove_files(PATHS)
}
