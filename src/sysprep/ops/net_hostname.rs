//! Removes `HOSTNAME` and `DHCP_HOSTNAME` from Red Hat's `ifcfg-*` files.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "net-hostname",
    heading: "Remove the host name from network scripts",
    default: true,
    doc: "Removes `HOSTNAME` and `DHCP_HOSTNAME` from Red Hat's `ifcfg-*` files.",
    run: Run::Files(run),
};

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.edit(&["/etc/sysconfig/network-scripts/ifcfg-*"], |text| {
        super::without_lines(text, |line| {
            line.starts_with("HOSTNAME=") || line.starts_with("DHCP_HOSTNAME=")
        })
    })
}
