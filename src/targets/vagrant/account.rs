//! The account that every box has, put onto the disk through libguestfs.

use std::collections::BTreeSet;

use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::accel::Accel;
use crate::sysprep::{Account, accounts};
use crate::ui::StageUi;

/// The account's name, which Vagrant expects.
pub(super) const NAME: &str = "vagrant";

/// Vagrant's public keys, whose other halves everybody has. Vagrant replaces them at the first
/// `vagrant up`; versions before 2.4 know the first one only.
pub(super) const KEYS: [&str; 2] = [
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vagrant insecure public key",
];

const SUDOERS: &str = "vagrant ALL=(ALL) NOPASSWD: ALL\nDefaults:vagrant !requiretty\n";

/// Where sudo looks for it.
const SUDOERS_AT: &str = "/etc/sudoers.d/vagrant";

/// A look-up of the client's name takes seconds in a network without names.
const SSHD: &str = "# Vagrant's machines are in networks without names.\nUseDNS no\n";

/// The first word that sshd reads wins, and files are read in the order of their names.
const SSHD_AT: &str = "/etc/ssh/sshd_config.d/01-vagrant.conf";

const SSHD_MAIN: &str = "/etc/ssh/sshd_config";

/// Where the labels of SELinux are described, by kind of policy.
const LABELS: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

/// Adds the account, its keys and rights to the qcow2 disk.
pub(super) fn add(disk: &std::path::Path, accel: Accel, ui: &StageUi) -> Result<()> {
    ui.step("adding the account `vagrant`");
    let guest = Guestfs::launch(&Launch {
        drives: &[Drive::writable(disk, "qcow2")],
        accel,
        ui: Some(ui),
    })?;
    guest.mount_root()?;
    let account = account(&guest)?;
    keys(&guest, &account)?;
    put(&guest, SUDOERS_AT, SUDOERS, 0o440)?;
    sshd(&guest)?;
    if guest.exists(LABELS)? && guest.feature_available(&["selinuxrelabel"])? {
        for path in ["/etc", account.home.as_str()] {
            guest.selinux_relabel(LABELS, path)?;
        }
    }
    guest.close()
}

fn account(guest: &Guestfs) -> Result<Account> {
    let passwd = text(guest, "/etc/passwd")?;
    if let Some(account) = find(&passwd) {
        return Ok(account);
    }
    let group = text(guest, "/etc/group")?;
    let id = free(&passwd, &group)?;
    let shells = ["/bin/bash", "/bin/sh"];
    let shell = shells
        .into_iter()
        .find(|shell| guest.exists(shell).unwrap_or(false));
    let shell = shell.unwrap_or("/bin/sh");
    let lines = [
        (
            "/etc/passwd",
            format!("{NAME}:x:{id}:{id}::/home/{NAME}:{shell}\n"),
        ),
        // Keys only: `*` is the hash of no password.
        ("/etc/shadow", format!("{NAME}:*:19000:0:99999:7:::\n")),
        ("/etc/group", format!("{NAME}:x:{id}:\n")),
        ("/etc/gshadow", format!("{NAME}:!::\n")),
    ];
    for (path, line) in lines {
        if guest.exists(path)? {
            let old = text(guest, path)?;
            guest.write(path, with_line(&old, &line))?;
        }
    }
    let home = format!("/home/{NAME}");
    if !guest.exists(&home)? {
        guest.mkdir_p("/home")?;
        match guest.exists("/etc/skel")? {
            true => guest.cp_a("/etc/skel", &home)?,
            false => guest.mkdir_p(&home)?,
        }
        for name in guest.find(&home)? {
            guest.chown(id as i32, id as i32, &format!("{home}/{name}"))?;
        }
        guest.chmod(0o755, &home)?;
        guest.chown(id as i32, id as i32, &home)?;
    }
    Ok(Account {
        name: NAME.to_owned(),
        uid: id,
        gid: id,
        home,
    })
}

fn keys(guest: &Guestfs, account: &Account) -> Result<()> {
    let dir = format!("{}/.ssh", account.home);
    let file = format!("{dir}/authorized_keys");
    guest.mkdir_p(&dir)?;
    let old = match guest.exists(&file)? {
        true => text(guest, &file)?,
        false => String::new(),
    };
    let missing = KEYS
        .iter()
        .filter(|key| !old.lines().any(|line| line == **key));
    let all = missing.fold(old.clone(), |all, key| with_line(&all, &format!("{key}\n")));
    put(guest, &file, &all, 0o600)?;
    guest.chmod(0o700, &dir)?;
    for path in [&dir, &file] {
        guest.chown(account.uid as i32, account.gid as i32, path)?;
    }
    Ok(())
}

fn sshd(guest: &Guestfs) -> Result<()> {
    let main = text(guest, SSHD_MAIN)?;
    if includes(&main) {
        return put(guest, SSHD_AT, SSHD, 0o644);
    }
    guest.write(SSHD_MAIN, format!("{SSHD}\n{main}"))
}

/// Whether sshd reads the files of its directory.
fn includes(config: &str) -> bool {
    let word = |line: &str| line.trim_start().to_ascii_lowercase();
    config.lines().any(|line| {
        let line = word(line);
        line.starts_with("include ") && line.contains("sshd_config.d/")
    })
}

fn put(guest: &Guestfs, path: &str, text: &str, mode: i32) -> Result<()> {
    if let Some((dir, _)) = path.rsplit_once('/') {
        guest.mkdir_p(dir)?;
    }
    guest.write(path, text)?;
    guest.chmod(mode, path)
}

fn text(guest: &Guestfs, path: &str) -> Result<String> {
    let bytes = guest
        .read_file(path)
        .doing(|| format!("looking for {path} on the disk"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn with_line(old: &str, line: &str) -> String {
    let between = if old.is_empty() || old.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{old}{between}{line}")
}

fn find(passwd: &str) -> Option<Account> {
    let mut all = accounts::parse(passwd).into_iter();
    all.find(|account| account.name == NAME)
}

/// The first number of a person that neither a user nor a group has.
fn free(passwd: &str, group: &str) -> Result<u32> {
    let third = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
    let taken: BTreeSet<u32> = passwd
        .lines()
        .chain(group.lines())
        .filter_map(third)
        .collect();
    let found = (1000..60_000).find(|id| !taken.contains(id));
    found.ok_or_else(|| Error::usage("no number is left for the account `vagrant`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_gets_a_number_that_nobody_has() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(free(passwd, "root:x:0:\nstaff:x:1001:ann\n").unwrap(), 1002);
        assert_eq!(find(passwd), None);
        let own = format!("{passwd}vagrant:x:900:901::/srv/vagrant/:/bin/sh\n");
        let account = find(&own).unwrap();
        assert_eq!(
            (account.uid, account.gid, &*account.home),
            (900, 901, "/srv/vagrant")
        );
        assert_eq!(with_line("a", "b\n"), "a\nb\n");
    }

    #[test]
    fn the_server_reads_its_directory_or_not() {
        assert!(includes("# x\nInclude /etc/ssh/sshd_config.d/*.conf\n"));
        assert!(!includes(
            "#Include /etc/ssh/sshd_config.d/*.conf\nUseDNS yes\n"
        ));
    }
}
