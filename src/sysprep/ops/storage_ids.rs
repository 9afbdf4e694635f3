//! Removes the host's NVMe identity, its number for ZFS (`/etc/hostid`), the disks that multipath
//! remembers, and makes the iSCSI initiator choose a name at its first start.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "storage-ids",
    heading: "Remove the identities of storage clients",
    default: true,
    doc: "Removes the host's NVMe identity, its number for ZFS (`/etc/hostid`), the disks that multipath remembers, and makes the iSCSI initiator choose a name at its first start.",
    run: Run::Files(run),
};

const INITIATOR: &str = "/etc/iscsi/initiatorname.iscsi";

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(&[
        "/etc/hostid",
        "/etc/multipath/bindings",
        "/etc/multipath/wwids",
        "/etc/nvme/hostid",
        "/etc/nvme/hostnqn",
    ])?;
    if site.is_deb() && site.guest.is_file(INITIATOR)? {
        // The mark by which Debian's open-iscsi makes a name.
        return site.install(INITIATOR, "GenerateName=yes\n", 0o600);
    }
    site.remove(&[INITIATOR])
}
