//! Removes the UUID that yum sends to mirrors, and dnf's counting cookies.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "yum-uuid",
    heading: "Remove the identity of yum",
    default: true,
    doc: "Removes the UUID that yum sends to mirrors, and dnf's counting cookies.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/lib/yum/uuid", "/var/lib/dnf/repos/*/countme"];
