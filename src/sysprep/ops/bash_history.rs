//! Removes `.bash_history` of root and of every user in `/home`.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "bash-history",
    heading: "Remove the shell history of users",
    default: true,
    doc: "Removes `.bash_history` of root and of every user in `/home`.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/root/.bash_history", "/home/*/.bash_history"];
