//! Removes `.zsh_history` and `.zhistory` of root and of every user in `/home`.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "zsh-history",
    heading: "Remove the history of zsh",
    default: true,
    doc: "Removes `.zsh_history` and `.zhistory` of root and of every user in `/home`.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/root/.zsh_history",
    "/root/.zhistory",
    "/home/*/.zsh_history",
    "/home/*/.zhistory",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
