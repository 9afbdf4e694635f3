//! Removes `.ssh` of root and of every user in `/home`. Of an `authorized_keys` the lines stay
//! that the recipe or a target declares.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "ssh-userdir",
    heading: "Remove the SSH keys of users",
    default: true,
    doc: "Removes `.ssh` of root and of every user in `/home`. Of an `authorized_keys` the lines stay that the recipe or a target declares.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/root/.ssh", "/home/*/.ssh"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)?;
    site.keep_declared_keys(|at| at.starts_with("/root/") || at.starts_with("/home/"))
}
