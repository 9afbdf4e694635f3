//! Removes `/etc/krb5.keytab`.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "kerberos-hostkeytab",
    heading: "Remove the Kerberos host keys",
    default: true,
    doc: "Removes `/etc/krb5.keytab`.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/etc/krb5.keytab"];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
