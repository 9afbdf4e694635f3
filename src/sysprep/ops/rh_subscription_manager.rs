//! Removes the certificates of subscription-manager.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "rh-subscription-manager",
    heading: "Remove the registration with Red Hat",
    default: true,
    doc: "Removes the certificates of subscription-manager.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/pki/consumer/*",
    "/etc/pki/entitlement/*",
    "/var/lib/rhsm/*",
];
