//! Removes the UUID that yum sends to mirrors, and dnf's counting cookies.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "yum-uuid",
    heading: "Remove the identity of yum",
    default: true,
    doc: "Removes the UUID that yum sends to mirrors, and dnf's counting cookies.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/lib/yum/uuid", "/var/lib/dnf/repos/*/countme"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
