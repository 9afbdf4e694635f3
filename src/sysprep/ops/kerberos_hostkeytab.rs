//! Removes `/etc/krb5.keytab`.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "kerberos-hostkeytab",
    heading: "Remove the Kerberos host keys",
    default: true,
    doc: "Removes `/etc/krb5.keytab`.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/etc/krb5.keytab"];
