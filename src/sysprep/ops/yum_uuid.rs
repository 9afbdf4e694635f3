pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "yum-uuid",
    "Remove the identity of yum",
    "Removes the UUID that yum sends to mirrors, and dnf's counting cookies.",
    &["/var/lib/yum/uuid", "/var/lib/dnf/repos/*/countme"],
)
.gone(&["var/lib/yum/uuid"]);
