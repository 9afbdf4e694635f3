//! Empties the records of who logged in, when and from where.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "utmp",
    heading: "Empty the records of logins",
    default: true,
    doc: "Empties the records of who logged in, when and from where.",
    run,
};

fn run(site: &mut Site<'_>) -> Result<()> {
    site.truncate(&[
        "/run/utmp",
        "/var/log/btmp",
        "/var/log/faillog",
        "/var/log/lastlog",
        "/var/log/tallylog",
        "/var/log/wtmp",
    ])?;
    site.remove(&[
        "/var/lib/lastlog/lastlog2.db",
        "/var/lib/wtmpdb/wtmp.db",
        "/var/log/btmp?*",
        "/var/log/wtmp?*",
    ])
}
