//! Removes the identity of the older Red Hat Network client.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "rhn-systemid",
    heading: "Remove the registration with RHN",
    default: true,
    doc: "Removes the identity of the older Red Hat Network client.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/sysconfig/rhn/systemid",
    "/etc/sysconfig/rhn/osad-auth.conf",
];
