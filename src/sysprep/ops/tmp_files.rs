//! Removes everything in `/tmp` and `/var/tmp`.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "tmp-files",
    heading: "Remove temporary files",
    default: true,
    doc: "Removes everything in `/tmp` and `/var/tmp`.",
    run: Run::Files(run),
};

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.empty(&["/tmp", "/var/tmp"])
}
