pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "rpm-db",
    "Remove the lock files of the RPM database",
    "Removes what belongs to the host that last opened the database; rpm makes it anew.",
    &["/var/lib/rpm/__db.*"],
)
.gone(&["var/lib/rpm/__db.001"]);
