use crate::error::Result;
use crate::installers;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "logfiles",
    "Remove logs",
    "Removes the journal, the logs of the installation and copies of its answers, the logs of \
     well-known programs and of logins, rotated logs, and some caches, and empties all other \
     files in `/var/log`.",
    run,
)
.taking(installers::traces)
.gone(&[
    "autoinstall.yaml",
    "root/ks.cfg",
    "var/lib/preseed/log",
    "var/log/journal/0123/system.journal",
    "var/log/syslog.1",
    "var/log/installer/cdebconf/questions.dat",
    "var/log/dpkg.log",
    "var/log/wtmp",
])
.emptied(&["var/log/nginx/access.log"])
// What a machine serves that installs others.
.stay(&[
    "root/web-ks.cfg",
    "srv/tftp/preseed.cfg",
    "var/lib/preseed/web.cfg",
    "var/lib/tftpboot/preseed.cfg",
    "var/www/html/ks.cfg",
]);

/// What goes as a whole, beside what installers leave.
const TRACES: &[&str] = &[
    "/etc/Pegasus/*.cnf",
    "/etc/Pegasus/*.crt",
    "/etc/Pegasus/*.csr",
    "/etc/Pegasus/*.pem",
    "/etc/Pegasus/*.srl",
    "/var/cache/fontconfig/*",
    "/var/cache/gdm/*",
    "/var/cache/man/*",
    "/var/lib/AccountService/users/*",
    "/var/lib/fprint/*",
    "/var/lib/logrotate.status",
    "/var/lib/logrotate/status",
    "/var/lib/logrotate/logrotate.status",
    "/var/log/*.log*",
    "/var/log/BackupPC/LOG",
    "/var/log/ConsoleKit/*",
    "/var/log/apache2/*_log",
    "/var/log/apache2/*_log-*",
    "/var/log/apt/*",
    "/var/log/aptitude*",
    "/var/log/audit/*",
    "/var/log/btmp*",
    "/var/log/ceph/*.log",
    "/var/log/chrony/*.log",
    "/var/log/cron*",
    "/var/log/cups/*_log*",
    "/var/log/debug*",
    "/var/log/dmesg*",
    "/var/log/exim4/*",
    "/var/log/faillog*",
    "/var/log/firewalld*",
    "/var/log/gdm/*",
    "/var/log/glusterfs/*glusterd.vol.log",
    "/var/log/glusterfs/glusterfs.log",
    "/var/log/grubby*",
    "/var/log/httpd/*log",
    "/var/log/jetty/jetty-console.log",
    "/var/log/journal/*",
    "/var/log/lastlog*",
    "/var/log/libvirt/libvirtd.log",
    "/var/log/libvirt/libxl/*.log",
    "/var/log/libvirt/lxc/*.log",
    "/var/log/libvirt/qemu/*.log",
    "/var/log/libvirt/uml/*.log",
    "/var/log/lightdm/*",
    "/var/log/mail/*",
    "/var/log/maillog*",
    "/var/log/messages*",
    "/var/log/ntp",
    "/var/log/ntpstats/*",
    "/var/log/ppp/connect-errors",
    "/var/log/rhsm/*",
    "/var/log/sa/*",
    "/var/log/secure*",
    "/var/log/setroubleshoot/*.log",
    "/var/log/spooler*",
    "/var/log/squid/*.log",
    "/var/log/syslog*",
    "/var/log/tallylog*",
    "/var/log/tuned/tuned.log",
    "/var/log/unattended-upgrades/*",
    "/var/log/wtmp*",
    "/var/log/xferlog*",
    "/var/named/data/named.run",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let mut traces = installers::traces();
    traces.extend(TRACES);
    root.remove(&traces)?;
    if !root.guest.is_dir("/var/log")? {
        return Ok(());
    }
    for name in root.guest.find("/var/log")? {
        let path = format!("/var/log/{name}");
        if !root.is_regular(&path)? {
            continue;
        }
        if is_rotated(&name) {
            root.remove_path(&path)?;
        } else {
            // The file stays: a daemon may not be able to make it again with its owner.
            root.truncate_path(&path)?;
        }
    }
    Ok(())
}

fn is_rotated(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let compressed = [".gz", ".xz", ".bz2", ".zst", ".old"]
        .iter()
        .any(|end| base.ends_with(end));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = base.rsplit_once('.').is_some_and(|(_, end)| digits(end));
    let dated = base
        .rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == 8 && digits(end));
    compressed || numbered || dated
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_rotated_log_is_known_by_its_name() {
        for (name, rotated) in [
            ("syslog", false),
            ("syslog.1", true),
            ("apt/history.log.1.gz", true),
            ("messages-20261121", true),
            ("postgresql/postgresql-15-main.log", false),
            ("dmesg.0", true),
            ("nginx/access.log", false),
        ] {
            assert_eq!(super::is_rotated(name), rotated, "{name}");
        }
    }
}
