//! Removes the server's identity and secrets.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "samba-db-log",
    heading: "Remove the databases and logs of Samba",
    default: true,
    doc: "Removes the server's identity and secrets.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/var/log/samba/*",
    "/var/log/samba/old/*",
    "/var/lib/samba/*",
    "/var/lib/samba/*/*",
    "/var/cache/samba/*",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove_files(PATHS)
}
