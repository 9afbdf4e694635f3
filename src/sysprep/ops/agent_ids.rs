use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "agent-ids",
    "Remove the identities of agents",
    "Removes the identities, keys and registrations by which servers know a machine's agents: \
     Landscape, Wazuh and OSSEC, Salt, Chef, Consul, Nomad, Teleport, Tailscale, ZeroTier, \
     NetBird, Elastic's Beats and Agent, osquery, Netdata, Checkmk, Icinga, CrowdStrike, \
     Qualys, Nessus, AWS' Systems Manager, GlusterFS, Docker, and the number of the package \
     survey. Their settings stay.",
    run,
)
.ours()
.gone(&[
    "etc/salt/pki/minion/minion.pem",
    "var/ossec/etc/client.keys",
]);

const PATHS: &[&str] = &[
    // Landscape: the registered computer.
    "/var/lib/landscape/client/*.bpickle*",
    "/var/lib/landscape/client/*.vault",
    // Wazuh and OSSEC: the key of the agent, and how many messages it has sent.
    "/var/ossec/etc/client.keys",
    "/var/ossec/queue/rids/*",
    "/etc/salt/minion_id",
    "/etc/salt/pki/minion/*",
    "/etc/chef/client.pem",
    "/etc/cinc/client.pem",
    "/var/lib/consul/node-id",
    "/var/lib/consul/data/node-id",
    "/opt/consul/node-id",
    "/opt/consul/data/node-id",
    "/var/lib/nomad/client/client-id",
    "/var/lib/nomad/client/secret-id",
    "/opt/nomad/data/client/client-id",
    "/opt/nomad/data/client/secret-id",
    "/var/lib/teleport/host_uuid",
    "/var/lib/teleport/proc/*",
    "/var/lib/tailscale/*",
    "/var/lib/zerotier-one/identity.*",
    "/var/lib/zerotier-one/authtoken.secret",
    "/etc/netbird/config.json",
    "/var/lib/netbird/*.json",
    "/var/lib/*beat/meta.json",
    "/var/lib/elastic-agent/*/fleet.enc*",
    "/var/lib/elastic-agent/data/*/fleet.enc*",
    "/opt/Elastic/Agent/fleet.enc*",
    "/opt/Elastic/Agent/*/fleet.enc*",
    "/opt/Elastic/Agent/data/*/fleet.enc*",
    "/var/osquery/osquery.db",
    "/var/lib/netdata/registry/netdata.public.unique.id",
    "/var/lib/netdata/cloud.d/*",
    "/var/lib/cmk-agent/registered_connections.json",
    "/var/lib/icinga2/certs/*",
    "/opt/CrowdStrike/falconstore*",
    "/etc/qualys/hostid",
    "/etc/tenable_tag",
    "/opt/nessus_agent/var/nessus/uuid",
    "/var/lib/amazon/ssm/Vault",
    "/var/lib/amazon/ssm/registration",
    "/var/lib/amazon/ssm/runtimeconfig",
    "/var/lib/glusterd/glusterd.info",
    "/var/lib/docker/engine-id",
    "/etc/docker/key.json",
];

/// The number by which Debian's survey of packages counts a machine.
const SURVEY: &str = "/etc/popularity-contest.conf";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(PATHS)?;
    root.edit(&[SURVEY], |text| {
        super::without_lines(text, |line| line.trim_start().starts_with("MY_HOSTID="))
    })
}
