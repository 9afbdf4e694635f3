//! Removes `.zsh_history` and `.zhistory` of root and of every user in `/home`.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "zsh-history",
    heading: "Remove the history of zsh",
    default: true,
    doc: "Removes `.zsh_history` and `.zhistory` of root and of every user in `/home`.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/root/.zsh_history",
    "/root/.zhistory",
    "/home/*/.zsh_history",
    "/home/*/.zhistory",
];
