//! Removes leases and client identities of dhclient and dhcpcd, so that clones ask for
//! addresses of their own.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "dhcp-client-state",
    heading: "Remove the state of DHCP clients",
    default: true,
    doc: "Removes leases and client identities of dhclient and dhcpcd, so that clones ask for addresses of their own.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/var/lib/dhclient/*",
    "/var/lib/dhcp/*",
    "/var/lib/dhcpcd/*",
    "/var/lib/dhcpcd5/*",
    "/etc/dhcpcd.duid",
    "/etc/dhcpcd.secret",
];
