pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "blkid-tab",
    "Remove the cache of block devices",
    "Removes the caches of blkid(8), which name the build's disks.",
    &[
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
    ],
)
.gone(&["etc/blkid.tab"]);
