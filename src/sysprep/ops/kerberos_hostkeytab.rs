//! Removes `/etc/krb5.keytab`.

use crate::error::Result;
use crate::sysprep::{Operation, Run, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "kerberos-hostkeytab",
    heading: "Remove the Kerberos host keys",
    default: true,
    doc: "Removes `/etc/krb5.keytab`.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &["/etc/krb5.keytab"];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
