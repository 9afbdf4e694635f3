pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "crash-data",
    "Remove crash dumps",
    "Removes kernel dumps and core dumps.",
    &[
        "/var/crash/*",
        "/var/log/dump/*",
        "/var/lib/systemd/coredump/*",
        "/var/lib/systemd/pstore/*",
    ],
)
.gone(&["var/lib/systemd/coredump/core.1.zst"]);
