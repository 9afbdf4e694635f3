//! Removes the journal, rotated logs and the logs of the installation, and empties all other
//! files in `/var/log` except those of logins (see `utmp`).

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "logfiles",
    heading: "Remove logs",
    default: true,
    doc: "Removes the journal, rotated logs and the logs of the installation, and empties all other files in `/var/log` except those of logins (see `utmp`).",
    run,
};

/// Whole trees and files that only tell of the build.
const TRACES: &[&str] = &[
    "/var/log/journal/*",
    "/var/log/installer",
    "/var/log/anaconda",
    "/var/log/bootstrap.log",
    "/var/log/cloud-init.log",
    "/var/log/cloud-init-output.log",
    "/var/log/unattended-upgrades/*",
    "/var/lib/logrotate/status",
    "/var/lib/logrotate/logrotate.status",
    "/root/anaconda-ks.cfg",
    "/root/anaconda-post.log",
    "/root/original-ks.cfg",
    "/root/initial-setup-ks.cfg",
    "/root/install.log",
    "/root/install.log.syslog",
];

/// Who logged in; the operation `utmp` empties these.
const LOGINS: &[&str] = &["wtmp", "btmp", "lastlog", "faillog", "tallylog"];

fn run(site: &mut Site<'_>) -> Result<()> {
    site.remove(TRACES)?;
    if !site.guest.is_dir("/var/log")? {
        return Ok(());
    }
    for name in site.guest.find("/var/log")? {
        let path = format!("/var/log/{name}");
        if LOGINS.contains(&name.as_str()) || !site.is_regular(&path)? {
            continue;
        }
        if is_rotated(&name) {
            site.remove_path(&path)?;
        } else {
            // The file stays: a daemon may not be able to make it again with its owner.
            site.truncate_path(&path)?;
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
