pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "passwd-backups",
    "Remove the backups of the user database",
    "Removes `/etc/passwd-` and its like, which still name removed users and old password \
     hashes.",
    &[
        "/etc/group-",
        "/etc/gshadow-",
        "/etc/passwd-",
        "/etc/shadow-",
        "/etc/subgid-",
        "/etc/subuid-",
    ],
)
.gone(&["etc/shadow-"]);
