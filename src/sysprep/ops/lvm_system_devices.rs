pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "lvm-system-devices",
    "Remove the list of LVM's devices",
    "Removes the file that limits LVM to the build's disks.",
    &[
        "/etc/lvm/devices/system.devices",
        "/etc/lvm/devices/backup/*",
    ],
)
.newer("1.49.1")
.gone(&["etc/lvm/devices/system.devices"]);
