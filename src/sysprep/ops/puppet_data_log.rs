//! Removes the agent's certificates, its state and its logs, so that every machine asks for a
//! certificate of its own.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "puppet-data-log",
    heading: "Remove the state and certificates of Puppet",
    default: true,
    doc: "Removes the agent's certificates, its state and its logs, so that every machine asks for a certificate of its own.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/var/log/puppet/*",
    "/var/log/puppetlabs/puppet/*",
    "/var/lib/puppet/*",
    "/var/cache/puppet/*",
    "/opt/puppetlabs/puppet/cache/*",
    "/etc/puppetlabs/puppet/ssl/*",
    "/etc/puppet/ssl/*",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
