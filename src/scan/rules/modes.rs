//! Permissions that nobody should have.

use crate::scan::entry::{FileEntry, Kind};
use crate::scan::rule::{Fix, Group, Matcher, Rule};

/// The rule about setuid programs.
pub(super) const SETUID: &str = "setuid-file";

const fn rule(name: &'static str, why: &'static str, fix: &'static str, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Modes,
        why,
        fix: Fix::Setting(fix),
        matcher,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        SETUID,
        "every user of the machine can run it as its owner",
        "take the permission away (`chmod u-s,g-s`), or accept it under `check.allow`",
        Matcher::Mode(|entry| {
            let setgid = entry.mode & 0o2000 != 0 && entry.mode & 0o010 != 0;
            let found = entry.kind == Kind::File && (entry.mode & 0o4000 != 0 || setgid);
            found.then(|| format!("mode {:04o}, owner {}:{}", entry.mode, entry.uid, entry.gid))
        }),
    ),
    rule(
        "world-writable-file",
        "every user of the machine can change what others read or run",
        "take the permission away (`chmod o-w`)",
        Matcher::Mode(|entry| {
            let found = entry.kind == Kind::File && entry.mode & 0o002 != 0;
            found.then(|| format!("mode {:04o}", entry.mode))
        }),
    ),
    rule(
        "world-writable-directory",
        "every user of the machine can replace what is in it",
        "take the permission away (`chmod o-w`), or set the sticky bit",
        Matcher::Mode(|entry| {
            let found = entry.kind == Kind::Dir && entry.mode & 0o1002 == 0o002;
            found.then(|| format!("mode {:04o}", entry.mode))
        }),
    ),
    rule(
        "device-file",
        "whoever may open it gets at the machine's hardware",
        "remove it: /dev is made when a machine starts",
        Matcher::Mode(|entry| {
            let outside =
                !entry.path.starts_with("/dev/") && !entry.path.starts_with("/lib/udev/devices/");
            // An overlay's mark for a removed file.
            let whiteout = entry.path.contains("/overlay2/");
            (entry.kind == Kind::Device && outside && !whiteout).then(String::new)
        }),
    ),
];

/// Programs that distributions ship setuid or setgid. Their content has to be their package's.
pub(super) fn is_well_known(entry: &FileEntry) -> bool {
    const DIRS: [&str; 5] = [
        "/usr/bin/",
        "/usr/sbin/",
        "/usr/lib/",
        "/usr/libexec/",
        "/usr/lib64/",
    ];
    const ROOTS: [&str; 3] = ["/bin/", "/sbin/", "/lib/"];
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let place = DIRS
        .iter()
        .chain(&ROOTS)
        .any(|dir| entry.path.starts_with(dir));
    place && NAMES.contains(&name)
}

const NAMES: &[&str] = &[
    "at",
    "bsd-write",
    "chage",
    "chfn",
    "chromium-sandbox",
    "chrome-sandbox",
    "chsh",
    "crontab",
    "cockpit-session",
    "dbus-daemon-launch-helper",
    "dma",
    "dotlockfile",
    "exim4",
    "expiry",
    "fusermount",
    "fusermount3",
    "gpasswd",
    "grub2-set-bootflag",
    "ssh-keysign",
    "krb5_child",
    "ldap_child",
    "locate",
    "mail-lock",
    "mail-touchlock",
    "mail-unlock",
    "mlocate",
    "mount",
    "mount.cifs",
    "mount.nfs",
    "mount.ecryptfs_private",
    "newgidmap",
    "newgrp",
    "newuidmap",
    "ntfs-3g",
    "p11_child",
    "pam-tmpdir-helper",
    "pam_extrausers_chkpwd",
    "pam_timestamp_check",
    "passwd",
    "ping",
    "ping4",
    "ping6",
    "pkexec",
    "plocate",
    "polkit-agent-helper-1",
    "postdrop",
    "postqueue",
    "pppd",
    "procmail",
    "proxy_child",
    "qemu-bridge-helper",
    "screen",
    "selinux_child",
    "sg",
    "snap-confine",
    "spice-client-glib-usb-acl-helper",
    "ssh-agent",
    "ssh-keysign",
    "staprun",
    "su",
    "sudo",
    "sudoedit",
    "sudo-rs",
    "su-rs",
    "traceroute6.iputils",
    "umount",
    "umount.nfs",
    "umount.nfs4",
    "unix2_chkpwd",
    "unix_chkpwd",
    "unix_update",
    "usernetctl",
    "utempter",
    "uuidd",
    "vmware-user-suid-wrapper",
    "wall",
    "write",
    "write.ul",
    "Xorg.wrap",
    "lockfile",
    "mutt_dotlock",
    "camel-lock-helper-1.2",
    "lxc-user-nic",
    "userhelper",
    "sensible-mda",
    "doas",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_in_their_places_are_well_known() {
        let entry = |path: &str| FileEntry::new(path.into(), 0o104_755, (0, 0), 1);
        assert!(is_well_known(&entry("/usr/bin/sudo")));
        assert!(
            is_well_known(&entry("/usr/lib/openssh/ssh-keysign"))
                && !is_well_known(&entry("/tmp/su"))
        );
        assert!(!is_well_known(&entry("/usr/bin/vim")));
    }
}
