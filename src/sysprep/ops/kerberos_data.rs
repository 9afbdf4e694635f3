//! Removes what a Kerberos key distribution centre keeps, except its `kdc.conf` and `kadm5.acl`.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "kerberos-data",
    heading: "Remove the database of a Kerberos server",
    default: false,
    doc: "Removes what a Kerberos key distribution centre keeps, except its `kdc.conf` and `kadm5.acl`.",
    run: Run::Files(run),
};

const STAYING: &[&str] = &[
    "/var/kerberos/krb5kdc/kadm5.acl",
    "/var/kerberos/krb5kdc/kdc.conf",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    for path in site.guest.glob("/var/kerberos/krb5kdc/*")? {
        if !STAYING.contains(&path.as_str()) && !site.guest.is_dir(&path)? {
            site.remove_path(&path)?;
        }
    }
    Ok(())
}
