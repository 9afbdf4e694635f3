use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "ca-certificates",
    "Remove certificates and keys of servers",
    "Removes certificates and private keys in `/etc/pki/CA` and `/etc/pki/tls`, except the \
     bundles of certificate authorities, and has the guest make its list of authorities anew.",
    run,
)
.off()
.gone(&["etc/pki/tls/private/site.key"])
.stay(&["etc/pki/tls/certs/ca-bundle.crt"]);

const PATHS: &[&str] = &[
    "/etc/pki/CA/certs/*.crt",
    "/etc/pki/CA/crl/*.crt",
    "/etc/pki/CA/newcerts/*.crt",
    "/etc/pki/CA/private/*.key",
    "/etc/pki/tls/private/*.key",
    "/etc/pki/tls/certs/*.crt",
];

const STAYING: &[&str] = &[
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    for pattern in PATHS {
        for path in root.guest.glob(pattern)? {
            if !STAYING.contains(&path.as_str()) {
                root.remove_path(&path)?;
                root.ca_store_changed = true;
            }
        }
    }
    Ok(())
}
