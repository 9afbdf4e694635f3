pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "kerberos-hostkeytab",
    "Remove the Kerberos host keys",
    "Removes `/etc/krb5.keytab`.",
    &["/etc/krb5.keytab"],
)
.gone(&["etc/krb5.keytab"]);
