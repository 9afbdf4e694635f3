//! Removes `.ssh` of root and of every user in `/home`, except the keys that the recipe
//! declares.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "ssh-userdir",
    heading: "Remove the SSH keys of users",
    default: true,
    doc: "Removes `.ssh` of root and of every user in `/home`, except the keys that the recipe declares.",
    run,
};

const PATHS: &[&str] = &["/root/.ssh", "/home/*/.ssh"];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
