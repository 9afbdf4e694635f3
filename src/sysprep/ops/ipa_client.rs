//! Removes the client's files of an IPA domain; the machine must be enrolled anew.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "ipa-client",
    heading: "Remove the enrolment in IPA",
    default: true,
    doc: "Removes the client's files of an IPA domain; the machine must be enrolled anew.",
    run,
};

const PATHS: &[&str] = &[
    "/etc/ipa/ca.crt",
    "/etc/ipa/default.conf",
    "/var/lib/ipa-client/sysrestore/*",
    "/var/lib/ipa-client/pki/*",
];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(PATHS)
}
