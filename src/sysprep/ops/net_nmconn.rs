//! Removes the connections of NetworkManager on machines with RPM packages, where the installer
//! writes them for the build's network card.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "net-nmconn",
    heading: "Remove NetworkManager's connections",
    default: true,
    doc: "Removes the connections of NetworkManager on machines with RPM packages, where the installer writes them for the build's network card.",
    run: Run::Files(run),
};

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    if site.os.package_format != "rpm" {
        return Ok(());
    }
    site.remove(&["/etc/NetworkManager/system-connections/*.nmconnection"])
}
