//! Removes the identity of the older Red Hat Network client.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "rhn-systemid",
    heading: "Remove the registration with RHN",
    default: true,
    doc: "Removes the identity of the older Red Hat Network client.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/etc/sysconfig/rhn/systemid",
    "/etc/sysconfig/rhn/osad-auth.conf",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
