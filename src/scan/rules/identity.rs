//! What two clones must not share.

use std::sync::LazyLock;

use regex::Regex;

use super::text::line_with;
use crate::scan::rule::{Fix, Group, Matcher, Rule};

const fn rule(
    name: &'static str,
    why: &'static str,
    operation: &'static str,
    matcher: Matcher,
) -> Rule {
    by(name, why, Fix::Operation(operation), matcher)
}

const fn by(name: &'static str, why: &'static str, fix: Fix, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Identity,
        why,
        fix,
        matcher,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "machine-id",
        "all machines would have one id, and one address by DHCP",
        "machine-id",
        Matcher::Judged(&["/etc/machine-id", "/var/lib/dbus/machine-id"], |case| {
            let text = case.text();
            let text = text.trim();
            (!text.is_empty() && text != "uninitialized").then(String::new)
        }),
    ),
    by(
        "ssh-host-key",
        "whoever has the image can pretend to be any machine made from it",
        Fix::Operations(&[("ssh-hostkeys", &["/etc/ssh/*"])]),
        Matcher::Present(&[
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
        Matcher::Present(&[
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
        Matcher::Present(&["/var/lib/systemd/credential.secret"]),
    ),
    rule(
        "host-id",
        "all machines would have one id",
        "storage-ids",
        Matcher::Present(&["/etc/hostid"]),
    ),
    rule(
        "storage-name",
        "two machines with one name corrupt each other's storage",
        "storage-ids",
        Matcher::Judged(
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
        Matcher::Present(&["/etc/lvm/devices/system.devices"]),
    ),
    rule(
        "multipath-list",
        "it names the disks of the build's machine",
        "storage-ids",
        Matcher::Judged(&["/etc/multipath/{wwids,bindings}"], |case| {
            static ANY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\S").expect("fixed"));
            line_with(&case.text(), &ANY)
        }),
    ),
    by(
        "cloud-init-state",
        "cloud-init would take a new machine for the one it has configured",
        Fix::Operations(&[(
            "cloud-init",
            &[
                "/var/lib/cloud/**",
                "/etc/netplan/*",
                "/etc/network/interfaces.d/50-cloud-init{,.cfg}",
            ],
        )]),
        Matcher::Present(&[
            "/var/lib/cloud/{instance,instances,data,sem}/**",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init*",
        ]),
    ),
    by(
        "dhcp-lease",
        "machines would ask for one address",
        Fix::Operations(&[
            ("dhcp-client-state", &["/var/lib/dhc*/*"]),
            (
                "network-leases",
                &["/var/lib/{NetworkManager,systemd/network,netplan}/**"],
            ),
        ]),
        Matcher::Present(&[
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
    by(
        "dhcp-id",
        "machines would ask for one address",
        Fix::Operations(&[
            ("dhcp-client-state", &["/var/lib/dhcpcd/*", "/etc/dhcpcd.*"]),
            ("network-leases", &["/var/lib/NetworkManager/*"]),
        ]),
        Matcher::Present(&[
            "/var/lib/dhcpcd/duid",
            "/var/lib/dhcpcd/secret",
            "/etc/dhcpcd.duid",
            "/etc/dhcpcd.secret",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/dhcpv6/*duid*",
        ]),
    ),
    by(
        "dhcp-server-state",
        "it tells of the machines of another network",
        Fix::Operations(&[
            ("dhcp-server-state", &["/var/lib/dhcpd/*"]),
            ("dhcp-client-state", &["/var/lib/dhcp/*"]),
        ]),
        Matcher::Present(&["/var/lib/dhcpd/*.leases*", "/var/lib/dhcp/dhcpd.leases"]),
    ),
    by(
        "network-card",
        "the network of a machine with another card would not come up",
        Fix::Operations(&[
            ("udev-persistent-net", &["/etc/udev/rules.d/*.rules"]),
            ("backup-files", &["/etc/udev/rules.d/*.bak"]),
        ]),
        Matcher::Present(&[
            "/etc/udev/rules.d/*-persistent-net.rules",
            "/etc/udev/rules.d/75-persistent-net-generator.rules.bak",
        ]),
    ),
    by(
        "network-address",
        "the network of a machine with another card would not come up",
        Fix::Operations(&[
            (
                "udev-persistent-net",
                &["/etc/udev/rules.d/*-persistent-net.rules"],
            ),
            (
                "net-hwaddr",
                &[
                    "/etc/{sysconfig,network,netplan,systemd,NetworkManager}/**",
                    "/etc/cloud/cloud.cfg.d/*",
                ],
            ),
        ]),
        Matcher::Judged(
            &[
                "/etc/sysconfig/network-scripts/ifcfg-*",
                "/etc/network/{interfaces,interfaces.d/*}",
                "/etc/netplan/*.{yaml,yml}",
                "/etc/systemd/network/*.{network,link}",
                "/etc/systemd/network/*.{network,link}.d/*.conf",
                "/etc/cloud/{cloud.cfg,cloud.cfg.d/*.cfg}",
                "/etc/NetworkManager/system-connections/*",
                "/etc/udev/rules.d/*.rules",
            ],
            |case| {
                static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
                    let mac = r#"["']?(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}"#;
                    let keys = [
                        r"(?:HWADDR|MACADDR|mac-address|cloned-mac-address|(?:Permanent)?MACAddress)\s*=\s*",
                        r"hwaddress\s+(?:ether\s+)?",
                        r"mac_?address:\s*",
                        r"ATTR\{address\}==",
                    ];
                    Regex::new(&format!("(?i)(?:{}){mac}", keys.join("|"))).expect("fixed")
                });
                line_with(&case.text(), &ADDRESS).or_else(|| card_by_name(&case.text()))
            },
        ),
    ),
    by(
        "subscription",
        "all machines would be one customer's one machine",
        Fix::Operations(&[
            (
                "rh-subscription-manager",
                &["/etc/pki/**", "/var/lib/rhsm/**"],
            ),
            ("rhn-systemid", &["/etc/sysconfig/rhn/*"]),
        ]),
        Matcher::Present(&[
            "/etc/pki/consumer/*",
            "/etc/pki/entitlement/*.pem",
            "/etc/sysconfig/rhn/systemid",
            "/var/lib/rhsm/**",
        ]),
    ),
    by(
        "survey-id",
        "a survey would count all machines as one",
        Fix::Operations(&[
            ("agent-ids", &["/etc/popularity-contest.conf"]),
            ("smolt-uuid", &["/etc/smolt/*"]),
            ("yum-uuid", &["/var/lib/yum/*"]),
        ]),
        Matcher::Judged(
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
    by(
        "agent-id",
        "the server of an agent would take all machines for one",
        Fix::Operations(&[
            ("puppet-data-log", &["/**/puppet/ssl/**"]),
            ("ipa-client", &["/etc/ipa/*"]),
            ("samba-db-log", &["/var/lib/samba/**"]),
            ("sssd-db-log", &["/var/lib/sss/db/*"]),
            (
                "agent-ids",
                &[
                    "/{var,opt}/**",
                    "/etc/{salt,ossec,chef,cinc,netbird,qualys}/**",
                    "/etc/tenable_tag",
                ],
            ),
        ]),
        Matcher::Present(&[
            "/etc/salt/minion_id",
            "/etc/salt/pki/minion/**",
            "/var/lib/puppet/ssl/**",
            "/etc/puppetlabs/puppet/ssl/**",
            "/etc/puppet/ssl/**",
            "/etc/ipa/default.conf",
            "/var/lib/samba/private/secrets.tdb",
            "/var/lib/samba/secrets.tdb",
            "/etc/samba/smbpasswd",
            "/var/lib/sss/db/*.ldb",
            "/var/lib/landscape/client/*.{bpickle,vault}",
            "/var/ossec/etc/client.keys",
            "/etc/{chef,cinc}/client.pem",
            "/{var/lib,opt}/consul/{,data/}node-id",
            "/{var/lib/nomad,opt/nomad/data}/client/{client,secret}-id",
            "/var/lib/teleport/host_uuid",
            "/var/lib/tailscale/*.state",
            "/var/lib/zerotier-one/identity.*",
            "/etc/netbird/config.json",
            "/var/lib/*beat/meta.json",
            "/{var/lib/elastic-agent,opt/Elastic/Agent}/**/fleet.enc",
            "/var/osquery/osquery.db/**",
            "/var/lib/netdata/registry/netdata.public.unique.id",
            "/var/lib/cmk-agent/registered_connections.json",
            "/var/lib/icinga2/certs/*.key",
            "/opt/CrowdStrike/falconstore",
            "/etc/{qualys/hostid,tenable_tag}",
            "/var/lib/amazon/ssm/{Vault/**,registration}",
            "/var/lib/glusterd/glusterd.info",
            "/var/lib/docker/engine-id",
        ]),
    ),
    rule(
        "snap-device",
        "the store of snapd would take all machines for one",
        "snap-device",
        Matcher::Judged(
            &["/var/lib/snapd/device/**", "/var/lib/snapd/state.json"],
            |case| {
                static SERIAL: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r#""(?:serial|key-id)"\s*:\s*"[^"]"#).expect("fixed")
                });
                let keys = !case.entry.path.ends_with(".json") && !case.content.is_empty();
                (keys || SERIAL.is_match(&case.text())).then(String::new)
            },
        ),
    ),
    rule(
        "ubuntu-pro",
        "all machines would be one customer's one machine",
        "ubuntu-pro",
        Matcher::Present(&[
            "/var/lib/ubuntu-{advantage,pro}/private/**",
            "/etc/apt/auth.conf.d/90ubuntu-advantage",
        ]),
    ),
];

/// Whether a wired connection of NetworkManager is for a card of one name.
fn card_by_name(text: &str) -> Option<String> {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^interface-name\s*=\s*\S").expect("fixed"));
    let other = |line: &str| {
        let kind = line.strip_prefix("type=");
        kind.is_some_and(|kind| !kind.trim().ends_with("ethernet"))
    };
    let wired = text.contains("ethernet]") || text.contains("type=ethernet");
    match wired && !text.lines().any(other) {
        true => line_with(text, &NAME),
        false => None,
    }
}
