pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "mail-spool",
    "Remove mail",
    "Removes the mail that local programs sent to users.",
    &["/var/spool/mail/*", "/var/mail/*"],
)
.gone(&["var/mail/ann"]);
