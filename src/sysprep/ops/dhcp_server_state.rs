pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "dhcp-server-state",
    "Remove the leases of a DHCP server",
    "Removes the leases that a DHCP server gave out.",
    &["/var/lib/dhcpd/*"],
)
.gone(&["var/lib/dhcpd/dhcpd.leases"]);
