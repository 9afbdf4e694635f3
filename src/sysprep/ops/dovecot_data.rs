pub(super) static OPERATION: super::Operation = super::Operation::removes_files(
    "dovecot-data",
    "Remove the state of Dovecot",
    "Removes what the mail server Dovecot generated.",
    &["/var/lib/dovecot/*"],
)
.gone(&["var/lib/dovecot/ssl-parameters.dat"]);
