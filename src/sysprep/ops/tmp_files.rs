//! Removes everything in `/tmp` and `/var/tmp`.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "tmp-files",
    heading: "Remove temporary files",
    default: true,
    doc: "Removes everything in `/tmp` and `/var/tmp`.",
    run,
};

fn run(site: &mut Site<'_>) -> Result<()> {
    site.empty(&["/tmp", "/var/tmp"])
}
