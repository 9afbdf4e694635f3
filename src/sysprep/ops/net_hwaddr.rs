//! Removes `HWADDR` from Red Hat's `ifcfg-*` files, so that they fit the network cards of
//! clones.

use crate::error::Result;
use crate::sysprep::{Operation, Run, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "net-hwaddr",
    heading: "Remove hardware addresses from network scripts",
    default: true,
    doc: "Removes `HWADDR` from Red Hat's `ifcfg-*` files, so that they fit the network cards of clones.",
    run: Run::Files(run),
};

fn run(site: &mut Site<'_>) -> Result<()> {
    site.edit(&["/etc/sysconfig/network-scripts/ifcfg-*"], |text| {
        super::without_lines(text, |line| line.starts_with("HWADDR="))
    })
}
