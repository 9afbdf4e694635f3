pub(super) static OPERATION: super::Operation = super::Operation::removes_files(
    "sssd-db-log",
    "Remove the databases and logs of SSSD",
    "Removes cached identities and credentials.",
    &["/var/log/sssd/*", "/var/lib/sss/db/*"],
)
.gone(&["var/lib/sss/db/cache.ldb"]);
