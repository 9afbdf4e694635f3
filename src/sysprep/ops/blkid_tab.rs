//! Removes the caches of blkid(8), which name the build's disks.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "blkid-tab",
    heading: "Remove the cache of block devices",
    default: true,
    doc: "Removes the caches of blkid(8), which name the build's disks.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &[
    "/run/blkid/blkid.tab",
    "/run/blkid/blkid.tab.old",
    "/var/run/blkid.tab",
    "/var/run/blkid.tab.old",
    "/etc/blkid/blkid.tab",
    "/etc/blkid/blkid.tab.old",
    "/etc/blkid.tab",
    "/etc/blkid.tab.old",
    "/dev/.blkid.tab",
    "/dev/.blkid.tab.old",
];
