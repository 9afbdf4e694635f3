//! Removes the server's identity and secrets.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "samba-db-log",
    heading: "Remove the databases and logs of Samba",
    default: true,
    doc: "Removes the server's identity and secrets.",
    run,
};

const PATHS: &[&str] = &[
    "/var/log/samba/*",
    "/var/lib/samba/*.tdb",
    "/var/lib/samba/*.ldb",
    "/var/lib/samba/private/*",
    "/var/cache/samba/*",
];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
