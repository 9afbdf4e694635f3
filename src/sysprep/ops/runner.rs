//! Removes what configured the guest at its first boot.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "runner",
    heading: "Remove imgforge's runner",
    default: true,
    doc: "Removes what configured the guest at its first boot. Steps that the recipe wants at the first boot of every machine stay.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/usr/lib/imgforge",
    "/var/lib/imgforge-runner",
    "/etc/systemd/system/imgforge-runner.service",
    "/etc/systemd/system/imgforge-start.service",
    "/etc/systemd/system/*.wants/imgforge-runner.service",
    "/etc/systemd/system/*.wants/imgforge-start.service",
    "/etc/init.d/imgforge",
    "/etc/init.d/imgforge-runner",
    "/etc/rc?.d/[SK]??imgforge",
    "/etc/rc?.d/[SK]??imgforge-runner",
    "/etc/runlevels/default/imgforge",
    // What a build's guest has only for its time.
    "/etc/systemd/system.conf.d/zz-imgforge.conf",
    "/etc/systemd/system/*.service.d/zz-imgforge.conf",
    "/etc/needrestart/conf.d/zz-imgforge.conf",
];
