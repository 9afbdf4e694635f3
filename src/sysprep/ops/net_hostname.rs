use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "net-hostname",
    "Remove the host name from network scripts",
    "Removes `HOSTNAME` and `DHCP_HOSTNAME` from Red Hat's `ifcfg-*` files.",
    run,
)
.edited(&[(
    "etc/sysconfig/network-scripts/ifcfg-eth0",
    "HOSTNAME=a\nDHCP_HOSTNAME=b\nONBOOT=yes\n",
    "ONBOOT=yes\n",
)]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.edit(&["/etc/sysconfig/network-scripts/ifcfg-*"], |text| {
        super::without_lines(text, |line| {
            line.starts_with("HOSTNAME=") || line.starts_with("DHCP_HOSTNAME=")
        })
    })
}
