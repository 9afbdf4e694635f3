pub(super) static OPERATION: super::Operation = super::Operation::removes_files(
    "samba-db-log",
    "Remove the databases and logs of Samba",
    "Removes the server's identity and secrets.",
    &[
        "/var/log/samba/*",
        "/var/log/samba/old/*",
        "/var/lib/samba/*",
        "/var/lib/samba/*/*",
        "/var/cache/samba/*",
    ],
)
.gone(&["var/lib/samba/secrets.tdb"]);
