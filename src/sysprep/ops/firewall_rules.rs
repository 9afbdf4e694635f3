//! Removes `/etc/sysconfig/iptables` and the zones and services of firewalld that were changed.
//! Off by default, as it may open a machine to the network.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "firewall-rules",
    heading: "Remove the rules of the firewall",
    default: false,
    doc: "Removes `/etc/sysconfig/iptables` and the zones and services of firewalld that were changed. Off by default, as it may open a machine to the network.",
    run: Run::RemoveFiles(PATHS),
};

const PATHS: &[&str] = &[
    "/etc/sysconfig/iptables",
    "/etc/firewalld/services/*",
    "/etc/firewalld/zones/*",
];
