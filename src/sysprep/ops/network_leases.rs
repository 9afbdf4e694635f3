//! Removes leases, seen networks and the host key of NetworkManager, and what systemd-networkd
//! keeps.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "network-leases",
    heading: "Remove the memory of network managers",
    default: true,
    doc: "Removes leases, seen networks and the host key of NetworkManager, and what systemd-networkd keeps.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/var/lib/NetworkManager/*.lease",
    "/var/lib/NetworkManager/secret_key",
    "/var/lib/NetworkManager/seen-bssids",
    "/var/lib/NetworkManager/timestamps",
    "/var/lib/NetworkManager/NetworkManager.state",
    "/var/lib/systemd/network/*",
    "/var/lib/netplan/*",
];
