//! What two clones must not share.

use std::sync::LazyLock;

use regex::Regex;

use super::text::line_with;
use crate::scan::rule::{Fix, Group, Look, Rule};

const fn rule(name: &'static str, why: &'static str, operation: &'static str, look: Look) -> Rule {
    Rule {
        name,
        group: Group::Identity,
        why,
        fix: Fix::Operation(operation),
        look,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "machine-id",
        "all machines would have one id, and one address by DHCP",
        "machine-id",
        Look::Judged(&["/etc/machine-id", "/var/lib/dbus/machine-id"], |case| {
            let text = case.text();
            let text = text.trim();
            (!text.is_empty() && text != "uninitialized").then(String::new)
        }),
    ),
    rule(
        "ssh-host-key",
        "whoever has the image can pretend to be any machine made from it",
        "ssh-hostkeys",
        Look::Present(&[
            "/etc/ssh/ssh_host_*_key",
            "/etc/ssh/ssh_host_*_key.pub",
            "/etc/ssh/ssh_host_key",
            "/etc/dropbear/dropbear_*_host_key",
            "/etc/dropbear/initramfs/dropbear_*_host_key",
            "/etc/dropbear-initramfs/dropbear_*_host_key",
        ]),
    ),
    rule(
        "random-seed",
        "machines would draw the same random numbers when they start",
        "random-seed",
        Look::Present(&[
            "/var/lib/systemd/random-seed",
            "/var/lib/urandom/random-seed",
            "/var/lib/random-seed",
            "/var/lib/misc/random-seed",
            "/var/lib/seedrng/**",
            "/boot/loader/random-seed",
            "/{boot/efi,efi}/loader/random-seed",
            "/root/.rnd",
        ]),
    ),
    rule(
        "credential-secret",
        "systemd encrypts the credentials of all machines with it",
        "random-seed",
        Look::Present(&["/var/lib/systemd/credential.secret"]),
    ),
    rule(
        "host-id",
        "all machines would have one id",
        "machine-id",
        Look::Present(&["/etc/hostid"]),
    ),
    rule(
        "storage-name",
        "two machines with one name corrupt each other's storage",
        "storage-ids",
        Look::Judged(
            &[
                "/etc/iscsi/initiatorname.iscsi",
                "/etc/nvme/hostnqn",
                "/etc/nvme/hostid",
            ],
            |case| {
                static NAME: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r"^(InitiatorName=|nqn\.|[0-9a-f]{8}-)").expect("fixed")
                });
                line_with(&case.text(), &NAME)
            },
        ),
    ),
    rule(
        "disk-list",
        "LVM would ignore the disks of every other machine",
        "lvm-system-devices",
        Look::Present(&["/etc/lvm/devices/system.devices"]),
    ),
    rule(
        "cloud-init-state",
        "cloud-init would take a new machine for the one it has configured",
        "cloud-init",
        Look::Present(&[
            "/var/lib/cloud/{instance,instances,data,sem}/**",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
        ]),
    ),
    rule(
        "dhcp-lease",
        "machines would ask for one address",
        "dhcp-client-state` or `network-leases",
        Look::Present(&[
            "/var/lib/dhcp/*.lease*",
            "/var/lib/dhclient/*.lease*",
            "/var/lib/dhcpcd/*.lease*",
            "/var/lib/dhcpcd5/*.lease*",
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/systemd/network/**",
            "/var/lib/netplan/**",
            "/var/lib/connman/*/data",
        ]),
    ),
    rule(
        "dhcp-id",
        "machines would ask for one address",
        "network-leases",
        Look::Present(&[
            "/var/lib/dhcpcd/duid",
            "/var/lib/dhcpcd/secret",
            "/etc/dhcpcd.duid",
            "/etc/dhcpcd.secret",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/dhcpv6/*duid*",
        ]),
    ),
    rule(
        "dhcp-server-state",
        "it tells of the machines of another network",
        "dhcp-server-state",
        Look::Present(&["/var/lib/dhcpd/*.leases*", "/var/lib/dhcp/dhcpd.leases"]),
    ),
    rule(
        "network-card",
        "the network of a machine with another card would not come up",
        "udev-persistent-net",
        Look::Present(&[
            "/etc/udev/rules.d/70-persistent-net.rules",
            "/etc/udev/rules.d/75-persistent-net-generator.rules.bak",
        ]),
    ),
    rule(
        "network-address",
        "the network of a machine with another card would not come up",
        "net-hwaddr",
        Look::Judged(&["/etc/sysconfig/network-scripts/ifcfg-*"], |case| {
            static ADDRESS: LazyLock<Regex> =
                LazyLock::new(|| Regex::new(r"^HWADDR=\S").expect("fixed"));
            line_with(&case.text(), &ADDRESS)
        }),
    ),
    rule(
        "subscription",
        "all machines would be one customer's one machine",
        "rh-subscription-manager` or `rhn-systemid",
        Look::Present(&[
            "/etc/pki/consumer/*",
            "/etc/pki/entitlement/*.pem",
            "/etc/sysconfig/rhn/systemid",
            "/var/lib/rhsm/**",
        ]),
    ),
    rule(
        "survey-id",
        "a survey would count all machines as one",
        "machine-id",
        Look::Judged(
            &[
                "/etc/popularity-contest.conf",
                "/etc/smolt/hw-uuid",
                "/var/lib/yum/uuid",
            ],
            |case| {
                static ID: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r#"^MY_HOSTID="?[0-9a-f]{32}|^[0-9a-f]{8}-[0-9a-f]{4}-"#)
                        .expect("fixed")
                });
                line_with(&case.text(), &ID)
            },
        ),
    ),
    rule(
        "agent-id",
        "the server of an agent would take all machines for one",
        "puppet-data-log",
        Look::Present(&[
            "/etc/salt/minion_id",
            "/etc/salt/pki/minion/**",
            "/var/lib/puppet/ssl/**",
            "/etc/puppetlabs/puppet/ssl/**",
            "/etc/puppet/ssl/**",
            "/var/lib/teleport/host_uuid",
            "/etc/ipa/default.conf",
            "/var/lib/samba/private/secrets.tdb",
            "/var/lib/samba/secrets.tdb",
            "/etc/samba/smbpasswd",
            "/var/lib/sss/db/*.ldb",
        ]),
    ),
];
