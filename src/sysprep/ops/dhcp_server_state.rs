//! Removes the leases that a DHCP server gave out.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "dhcp-server-state",
    heading: "Remove the leases of a DHCP server",
    default: true,
    doc: "Removes the leases that a DHCP server gave out.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/var/lib/dhcpd/*"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
