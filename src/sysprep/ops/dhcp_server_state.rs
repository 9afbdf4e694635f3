//! Removes the leases that a DHCP server gave out.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "dhcp-server-state",
    heading: "Remove the leases of a DHCP server",
    default: true,
    doc: "Removes the leases that a DHCP server gave out.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/var/lib/dhcpd/*"];
