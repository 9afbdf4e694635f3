pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "network-leases",
    "Remove the memory of network managers",
    "Removes leases, seen networks and the host key of NetworkManager, and what \
     systemd-networkd keeps.",
    &[
        "/var/lib/NetworkManager/*.lease",
        "/var/lib/NetworkManager/secret_key",
        "/var/lib/NetworkManager/seen-bssids",
        "/var/lib/NetworkManager/timestamps",
        "/var/lib/NetworkManager/NetworkManager.state",
        "/var/lib/systemd/network/*",
        "/var/lib/netplan/*",
    ],
)
.ours()
.gone(&["var/lib/NetworkManager/secret_key"]);
