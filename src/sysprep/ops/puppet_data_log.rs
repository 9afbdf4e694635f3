//! Removes the agent's certificates, its state and its logs, so that every machine asks for a
//! certificate of its own.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "puppet-data-log",
    heading: "Remove the state and certificates of Puppet",
    default: true,
    doc: "Removes the agent's certificates, its state and its logs, so that every machine asks for a certificate of its own.",
    run: Run::Remove(PATHS),
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
