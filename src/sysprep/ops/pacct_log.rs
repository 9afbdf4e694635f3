//! Empties the logs of process accounting and removes rotated ones.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "pacct-log",
    heading: "Empty process accounting",
    default: true,
    doc: "Empties the logs of process accounting and removes rotated ones.",
    run: Run::Files(run),
};

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(&["/var/account/pacct?*", "/var/log/account/pacct?*"])?;
    site.truncate(&["/var/account/pacct", "/var/log/account/pacct"])
}
