pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "puppet-data-log",
    "Remove the state and certificates of Puppet",
    "Removes the agent's certificates, its state and its logs, so that every machine asks for a \
     certificate of its own.",
    &[
        "/var/log/puppet/*",
        "/var/log/puppetlabs/puppet/*",
        "/var/lib/puppet/*",
        "/var/cache/puppet/*",
        "/opt/puppetlabs/puppet/cache/*",
        "/etc/puppetlabs/puppet/ssl/*",
        "/etc/puppet/ssl/*",
    ],
)
.gone(&["var/lib/puppet/ssl/private_keys/a.pem"]);
