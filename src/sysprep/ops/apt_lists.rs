//! Removes what `apt-get update` downloads, in `/var/lib/apt/lists`.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "apt-lists",
    heading: "Remove the package lists of apt",
    default: false,
    doc: "Removes what `apt-get update` downloads, in `/var/lib/apt/lists`. Off by default: a machine without network could then not even search for packages.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/lib/apt/lists/*"];
