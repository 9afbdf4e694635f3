pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "abrt-data",
    "Remove crash reports of ABRT",
    "Removes the reports in `/var/spool/abrt`.",
    &["/var/spool/abrt/*"],
)
.gone(&["var/spool/abrt/ccpp-1/reason"]);
