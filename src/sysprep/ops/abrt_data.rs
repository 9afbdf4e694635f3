//! Removes the reports in `/var/spool/abrt`.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "abrt-data",
    heading: "Remove crash reports of ABRT",
    default: true,
    doc: "Removes the reports in `/var/spool/abrt`.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/spool/abrt/*"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
