//! Removes the certificates of subscription-manager.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "rh-subscription-manager",
    heading: "Remove the registration with Red Hat",
    default: true,
    doc: "Removes the certificates of subscription-manager.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/etc/pki/consumer/*",
    "/etc/pki/entitlement/*",
    "/var/lib/rhsm/*",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
