//! Removes what `apt-get update` downloads, in `/var/lib/apt/lists`.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "apt-lists",
    heading: "Remove the package lists of apt",
    default: true,
    doc: "Removes what `apt-get update` downloads, in `/var/lib/apt/lists`: old soon, and tens of megabytes. A machine that has to search without network wants `-apt-lists`.",
    run,
};

const PATHS: &[&str] = &["/var/lib/apt/lists/*"];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
