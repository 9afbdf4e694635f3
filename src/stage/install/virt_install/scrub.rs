//! What installers leave on the new disk: copies of the answers with their passwords, logs, and
//! the ways to the network that only the installation had.

use crate::error::Result;
use crate::guest::Guestfs;

/// Files and directories by pattern. Nothing here is needed by the installed system.
const LEFTOVERS: &[&str] = &[
    // debian-installer: logs, the answers of cdebconf, the preseed file.
    "/var/log/installer",
    "/var/lib/preseed",
    "/preseed.cfg",
    "/var/cache/debconf/passwords.dat",
    "/var/cache/debconf/passwords.dat-old",
    "/etc/apt/sources.list~",
    "/etc/apt/apt.conf.d/00CDMountPoint",
    "/etc/apt/apt.conf.d/00trustcdrom",
    // Anaconda: the kickstart file as it was and as it would be written, and the logs.
    "/root/*-ks.cfg",
    "/root/ks-*.log",
    "/root/install.log*",
    "/var/log/anaconda",
    // subiquity, curtin: the answers again, and a proxy for apt.
    "/var/log/installer.tar*",
    "/etc/apt/apt.conf.d/90curtin-aptproxy",
    "/etc/cloud/cloud.cfg.d/99-installer.cfg",
    "/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
    "/var/lib/cloud/seed",
    "/root/curtin-install.log",
    "/root/curtin-install-cfg.yaml",
];

/// Removes the installer's leftovers from the mounted disk; says what was there.
///
/// # Errors
/// When something cannot be removed.
pub fn scrub(guest: &Guestfs) -> Result<Vec<String>> {
    let mut removed = vec![];
    for pattern in LEFTOVERS {
        for path in guest.glob_paths(pattern)? {
            guest.rm_rf_path(&path)?;
            removed.push(path.display().to_string());
        }
    }
    Ok(removed)
}
