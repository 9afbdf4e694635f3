use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "storage-ids",
    "Remove the identities of storage clients",
    "Removes the host's NVMe identity, its number for ZFS (`/etc/hostid`), the disks that \
     multipath remembers, and makes the iSCSI initiator choose a name at its first start.",
    run,
)
.ours()
.gone(&["etc/hostid", "etc/multipath/wwids", "etc/nvme/hostnqn"])
.edited(&[(
    "etc/iscsi/initiatorname.iscsi",
    "InitiatorName=iqn.2004-10.com.example:1\n",
    "GenerateName=yes\n",
)]);

const INITIATOR: &str = "/etc/iscsi/initiatorname.iscsi";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(&[
        "/etc/hostid",
        "/etc/multipath/bindings",
        "/etc/multipath/wwids",
        "/etc/nvme/hostid",
        "/etc/nvme/hostnqn",
    ])?;
    if root.is_deb() && root.guest.is_file(INITIATOR)? {
        // The mark by which Debian's open-iscsi makes a name.
        return root.install(INITIATOR, "GenerateName=yes\n", 0o600);
    }
    root.remove(&[INITIATOR])
}
