use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "ipa-client",
    "Remove the enrolment in IPA",
    "Removes the client's files of an IPA domain and its certificate authority; the machine \
     must be enrolled anew.",
    run,
)
.gone(&["etc/ipa/default.conf"]);

const PATHS: &[&str] = &[
    "/etc/ipa/ca.crt",
    "/etc/ipa/default.conf",
    "/var/lib/ipa-client/sysrestore/*",
    "/var/lib/ipa-client/pki/*",
];

/// The domain's certificate authority, as the system knows it.
const AUTHORITY: &[&str] = &[
    "/etc/pki/ca-trust/source/anchors/ipa-ca.crt",
    "/usr/local/share/ca-certificates/ipa-ca.crt",
    "/etc/pki/ca-trust/source/ipa.p11-kit",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(PATHS)?;
    for path in AUTHORITY {
        if root.guest.exists(path)? {
            root.remove_path(path)?;
            root.ca_store_changed = true;
        }
    }
    Ok(())
}
