//! What the guests have: every file that an operation of either program touches, and neighbours
//! that must stay.

use imgforge::sysprep::Operation;

use super::Tree;
use crate::phony::Phony;

/// Operation, file, and the guests that have it: `*` all, `deb` or `rpm` a family.
const FILES: &[(&str, &str, &str)] = &[
    ("abrt-data", "var/spool/abrt/ccpp-1/reason", "*"),
    ("backup-files", "etc/ssh/sshd_config.bak", "*"),
    ("backup-files", "root/notes~", "*"),
    ("backup-files", "srv/site/index.html.bak", "*"),
    ("backup-files", "var/lib/thing/db~", "*"),
    ("bash-history", "root/.bash_history", "*"),
    ("bash-history", "home/ann/.bash_history", "*"),
    ("blkid-tab", "etc/blkid/blkid.tab", "*"),
    ("blkid-tab", "etc/blkid.tab.old", "*"),
    ("blkid-tab", "dev/.blkid.tab", "*"),
    ("blkid-tab", "run/blkid.tab", "*"),
    ("ca-certificates", "etc/pki/CA/certs/site.crt", "rpm"),
    ("ca-certificates", "etc/pki/CA/crl/site.crt", "rpm"),
    ("ca-certificates", "etc/pki/CA/newcerts/1.crt", "rpm"),
    ("ca-certificates", "etc/pki/CA/private/ca.key", "rpm"),
    ("ca-certificates", "etc/pki/tls/certs/site.crt", "rpm"),
    ("ca-certificates", "etc/pki/tls/private/site.key", "rpm"),
    ("crash-data", "var/crash/1/vmcore", "*"),
    ("crash-data", "var/log/dump/1", "*"),
    ("cron-spool", "var/spool/cron/ann", "*"),
    ("cron-spool", "var/spool/cron/crontabs/ann", "*"),
    ("cron-spool", "var/spool/cron/atjobs/a0001", "*"),
    ("cron-spool", "var/spool/cron/atjobs/.SEQ", "*"),
    ("cron-spool", "var/spool/at/a0002", "*"),
    ("cron-spool", "var/spool/at/.SEQ", "*"),
    ("cron-spool", "var/spool/atjobs/a0003", "*"),
    ("cron-spool", "var/spool/atjobs/.SEQ", "*"),
    ("cron-spool", "var/spool/atspool/a0004", "*"),
    ("dhcp-client-state", "var/lib/dhclient/dhclient.leases", "*"),
    (
        "dhcp-client-state",
        "var/lib/dhcp/dhclient.eth0.leases",
        "*",
    ),
    ("dhcp-server-state", "var/lib/dhcpd/dhcpd.leases", "*"),
    ("dovecot-data", "var/lib/dovecot/ssl-parameters.dat", "*"),
    ("dovecot-data", "var/lib/dovecot/instances", "*"),
    ("firewall-rules", "etc/sysconfig/iptables", "rpm"),
    ("firewall-rules", "etc/firewalld/services/site.xml", "rpm"),
    ("firewall-rules", "etc/firewalld/zones/public.xml", "rpm"),
    ("ipa-client", "etc/ipa/ca.crt", "*"),
    ("ipa-client", "etc/ipa/default.conf", "*"),
    ("ipa-client", "var/lib/ipa-client/sysrestore/index", "*"),
    ("ipa-client", "var/lib/ipa-client/pki/key", "*"),
    (
        "ipa-client",
        "etc/pki/ca-trust/source/anchors/ipa-ca.crt",
        "rpm",
    ),
    ("ipa-client", "etc/pki/ca-trust/source/ipa.p11-kit", "rpm"),
    (
        "ipa-client",
        "usr/local/share/ca-certificates/ipa-ca.crt",
        "deb",
    ),
    ("kerberos-data", "var/kerberos/krb5kdc/principal", "*"),
    ("kerberos-hostkeytab", "etc/krb5.keytab", "*"),
    ("lvm-system-devices", "etc/lvm/devices/system.devices", "*"),
    ("machine-id", "etc/machine-id", "*"),
    ("machine-id", "var/lib/dbus/machine-id", "*"),
    ("mail-spool", "var/spool/mail/ann", "*"),
    ("mail-spool", "var/mail/root", "*"),
    (
        "net-hostname",
        "etc/sysconfig/network-scripts/ifcfg-eth0",
        "rpm",
    ),
    (
        "net-hwaddr",
        "etc/sysconfig/network-scripts/ifcfg-eth1",
        "rpm",
    ),
    (
        "net-nmconn",
        "etc/NetworkManager/system-connections/a.nmconnection",
        "rpm",
    ),
    (
        "package-manager-cache",
        "var/cache/apt/archives/nginx_1.deb",
        "deb",
    ),
    (
        "package-manager-cache",
        "var/cache/apt/archives/partial/x.deb",
        "deb",
    ),
    (
        "package-manager-cache",
        "var/cache/apt/archives/lock",
        "deb",
    ),
    ("package-manager-cache", "var/cache/apt/pkgcache.bin", "deb"),
    (
        "package-manager-cache",
        "var/cache/dnf/base-1/packages/a.rpm",
        "fedora",
    ),
    (
        "package-manager-cache",
        "var/cache/yum/x86_64/7/a.rpm",
        "rhel",
    ),
    ("pacct-log", "var/account/pacct", "rpm"),
    ("pacct-log", "var/account/pacct-20260101", "rpm"),
    ("pacct-log", "var/log/account/pacct", "deb"),
    ("pacct-log", "var/log/account/pacct.1", "deb"),
    ("pam-data", "run/console/ann", "*"),
    ("pam-data", "run/faillock/ann", "*"),
    ("pam-data", "run/sepermit/ann", "*"),
    ("passwd-backups", "etc/group-", "*"),
    ("passwd-backups", "etc/gshadow-", "*"),
    ("passwd-backups", "etc/passwd-", "*"),
    ("passwd-backups", "etc/shadow-", "*"),
    ("passwd-backups", "etc/subgid-", "*"),
    ("passwd-backups", "etc/subuid-", "*"),
    ("puppet-data-log", "var/log/puppet/agent.log", "*"),
    ("puppet-data-log", "var/lib/puppet/state/state.yaml", "*"),
    (
        "puppet-data-log",
        "var/lib/puppet/ssl/private_keys/a.pem",
        "*",
    ),
    ("puppet-data-log", "var/lib/puppet/ssl/a/b/c.pem", "*"),
    ("rh-subscription-manager", "etc/pki/consumer/key.pem", "rpm"),
    (
        "rh-subscription-manager",
        "etc/pki/entitlement/1.pem",
        "rpm",
    ),
    ("rhn-systemid", "etc/sysconfig/rhn/systemid", "rhel"),
    ("rhn-systemid", "etc/sysconfig/rhn/osad-auth.conf", "rhel"),
    ("rpm-db", "var/lib/rpm/__db.001", "rpm"),
    ("samba-db-log", "var/log/samba/log.smbd", "*"),
    ("samba-db-log", "var/log/samba/old/log.smbd", "*"),
    ("samba-db-log", "var/lib/samba/account_policy.tdb", "*"),
    ("samba-db-log", "var/lib/samba/private/secrets.tdb", "*"),
    ("smolt-uuid", "etc/smolt/uuid", "*"),
    ("smolt-uuid", "etc/sysconfig/hw-uuid", "rpm"),
    ("ssh-hostkeys", "etc/ssh/ssh_host_ed25519_key", "*"),
    ("ssh-hostkeys", "etc/ssh/ssh_host_ed25519_key.pub", "*"),
    ("ssh-userdir", "root/.ssh/id_ed25519", "*"),
    ("ssh-userdir", "home/ann/.ssh/authorized_keys", "*"),
    ("sssd-db-log", "var/log/sssd/sssd.log", "*"),
    ("sssd-db-log", "var/lib/sss/db/cache.ldb", "*"),
    ("tmp-files", "tmp/.hidden/file", "*"),
    ("tmp-files", "var/tmp/[odd] name", "*"),
    (
        "udev-persistent-net",
        "etc/udev/rules.d/70-persistent-net.rules",
        "*",
    ),
    ("user-account", "home/bob/work", "*"),
    ("user-account", "var/spool/mail/bob", "*"),
    ("utmp", "run/utmp", "*"),
    ("yum-uuid", "var/lib/yum/uuid", "rhel"),
    ("zsh-history", "root/.zsh_history", "*"),
    ("zsh-history", "home/ann/.zsh_history", "*"),
];

/// One of each pattern of logs.
const LOGS: &str = "etc/Pegasus/a.cnf etc/Pegasus/a.crt etc/Pegasus/a.csr etc/Pegasus/a.pem \
    etc/Pegasus/a.srl root/anaconda-ks.cfg root/anaconda-post.log root/initial-setup-ks.cfg \
    root/install.log root/install.log.syslog root/original-ks.cfg var/cache/fontconfig/a \
    var/cache/gdm/a var/cache/man/a var/lib/AccountService/users/a var/lib/fprint/a \
    var/lib/logrotate.status var/log/dpkg.log var/log/kern.log.1 var/log/BackupPC/LOG \
    var/log/ConsoleKit/a var/log/anaconda.syslog var/log/anaconda/a var/log/apache2/a_log \
    var/log/apache2/a_log-20260101 var/log/apt/history.log var/log/aptitude var/log/audit/audit.log \
    var/log/btmp var/log/ceph/a.log var/log/chrony/a.log var/log/cron var/log/cups/access_log \
    var/log/debug var/log/dmesg var/log/exim4/mainlog var/log/faillog var/log/firewalld \
    var/log/gdm/a var/log/glusterfs/aglusterd.vol.log var/log/glusterfs/glusterfs.log \
    var/log/grubby var/log/httpd/access_log var/log/installer/syslog var/log/jetty/jetty-console.log \
    var/log/journal/0123/system.journal var/log/lastlog var/log/libvirt/libvirtd.log \
    var/log/libvirt/libxl/a.log var/log/libvirt/lxc/a.log var/log/libvirt/qemu/a.log \
    var/log/libvirt/uml/a.log var/log/lightdm/a var/log/mail/a var/log/maillog var/log/messages \
    var/log/ntp var/log/ntpstats/a var/log/ppp/connect-errors var/log/rhsm/a var/log/sa/sa01 \
    var/log/secure var/log/setroubleshoot/a.log var/log/spooler var/log/squid/access.log \
    var/log/syslog var/log/tallylog var/log/tuned/tuned.log var/log/wtmp var/log/xferlog \
    var/named/data/named.run";

/// Files near the ones above: neither program touches them.
const STAYING: &[&str] = &[
    "etc/hosts",
    "etc/cron.d/job",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssh/sshd_config",
    "home/ann/.bashrc",
    "srv/site/index.html",
    "usr/share/doc/a.bak",
    "var/kerberos/krb5kdc/kdc.conf",
    "var/lib/thing.bak/db",
];

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bob:x:1001:1001:Bob:/home/bob:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const SHADOW: &str = "root:*:20000:0:99999:7:::\nbob:!:20000:0:99999:7:::\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:bob\nbob:x:1001:\nnogroup:x:65534:\n";
const GSHADOW: &str = "root:*::\nsudo:*::bob\nbob:!::\nnogroup:*::\n";
const LOGIN: &str = "UID_MIN\t\t 1000\nUID_MAX\t\t60000\n";
const NETWORK: &str =
    "DEVICE=eth\nHWADDR=52:54:00:00:00:01\nHOSTNAME=a\nDHCP_HOSTNAME=b\nONBOOT=yes\n";

fn has(guest: &str, which: &str) -> bool {
    let family = match guest {
        "debian" | "ubuntu" => "deb",
        _ => "rpm",
    };
    which == "*" || which == guest || which == family
}

/// Fills a made-up guest.
pub(super) fn plant(phony: &Phony, guest: &str) {
    // Not by label: several of these disks are in one session.
    phony.file("etc/fstab", "proc /proc proc defaults 0 0\n");
    phony.link("var/run", "../run");
    for (_, path, which) in FILES {
        if has(guest, which) {
            phony.file(path, format!("{path} of the build\n"));
        }
    }
    for path in LOGS.split_whitespace() {
        phony.file(path, format!("{path} tells of the build\n"));
    }
    for path in STAYING {
        phony.file(path, format!("{path} stays\n"));
    }
    phony
        .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .mode("etc/machine-id", 0o444)
        .file("etc/passwd", PASSWD)
        .file("etc/shadow", SHADOW)
        .mode("etc/shadow", 0o640)
        .file("etc/group", GROUP)
        .file("etc/gshadow", GSHADOW)
        .file("etc/subuid", "bob:100000:65536\n")
        .file("etc/login.defs", LOGIN)
        .mode("tmp", 0o1777);
    if has(guest, "rpm") {
        let scripts = "etc/sysconfig/network-scripts";
        phony
            .file(&format!("{scripts}/ifcfg-eth0"), NETWORK)
            .file(&format!("{scripts}/ifcfg-eth1"), NETWORK);
    }
    // They tell that they ran.
    let script = "#!/bin/sh\necho ran >>/etc/ca-store-was-made\n";
    let program = match has(guest, "deb") {
        true => "usr/sbin/update-ca-certificates",
        false => "usr/bin/update-ca-trust",
    };
    phony.file(program, script).mode(program, 0o755);
}

/// Asserts that every planted file of the operations is gone or has changed, so that equal trees
/// are not equal because nobody did anything.
pub(super) fn assert_touched(
    guests: &[&str],
    before: &[Tree],
    after: &[Tree],
    operations: &[&'static Operation],
) {
    for (operation, path, which) in FILES {
        if !operations.iter().any(|o| o.name == *operation) {
            continue;
        }
        let path = format!("/{path}");
        for (guest, (before, after)) in guests.iter().zip(before.iter().zip(after)) {
            if has(guest, which) {
                assert!(before.contains_key(&path), "{guest} has no {path}");
                assert_ne!(before.get(&path), after.get(&path), "{operation}: {path}");
            }
        }
    }
    for path in STAYING {
        let path = format!("/{path}");
        for (before, after) in before.iter().zip(after) {
            assert_eq!(before.get(&path), after.get(&path), "{path}");
        }
    }
}
