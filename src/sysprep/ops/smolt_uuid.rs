pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "smolt-uuid",
    "Remove the identity of Smolt",
    "Removes the UUID of the hardware profiler.",
    &[
        "/etc/sysconfig/hw-uuid",
        "/etc/smolt/uuid",
        "/etc/smolt/hw-uuid",
    ],
)
.gone(&["etc/smolt/hw-uuid"]);
