pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "dhcp-client-state",
    "Remove the state of DHCP clients",
    "Removes leases and client identities of dhclient and dhcpcd, so that clones ask for \
     addresses of their own.",
    &[
        "/var/lib/dhclient/*",
        "/var/lib/dhcp/*",
        "/var/lib/dhcpcd/*",
        "/var/lib/dhcpcd5/*",
        "/etc/dhcpcd.duid",
        "/etc/dhcpcd.secret",
    ],
)
.gone(&["var/lib/dhcp/dhclient.eth0.leases"]);
