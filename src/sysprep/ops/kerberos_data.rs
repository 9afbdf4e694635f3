use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "kerberos-data",
    "Remove the database of a Kerberos server",
    "Removes what a Kerberos key distribution centre keeps, except its `kdc.conf` and \
     `kadm5.acl`.",
    run,
)
.off()
.gone(&["var/kerberos/krb5kdc/principal"]);

const STAYING: &[&str] = &[
    "/var/kerberos/krb5kdc/kadm5.acl",
    "/var/kerberos/krb5kdc/kdc.conf",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    for path in root.guest.glob("/var/kerberos/krb5kdc/*")? {
        if !STAYING.contains(&path.as_str()) && !root.guest.is_dir(&path)? {
            root.remove_path(&path)?;
        }
    }
    Ok(())
}
