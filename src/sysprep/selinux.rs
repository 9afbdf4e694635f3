//! Labels of SELinux guests: files that are written offline have none or the wrong ones.

use super::GuestRoot;
use crate::error::Result;

/// The flag that has a guest label itself at its first boot and restart.
const FLAG: &str = "/.autorelabel";

const SETFILES: &[&str] = &["/usr/sbin/setfiles", "/sbin/setfiles"];

/// What became of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// The guest does not use SELinux.
    Unused,
    /// Every file was labelled, offline.
    Renewed,
    /// The guest does it at its first boot.
    AtFirstBoot,
    /// Nobody does it: it could not be done offline, and the image must not do it.
    Stale,
}

/// Labels the guest's files as its policy says. `first_boot`: whether the guest may do it itself
/// where that fails; one whose root is in RAM would do it at each boot, and restart, for ever.
pub(super) fn relabel(root: &GuestRoot<'_>, first_boot: bool) -> Result<Labels> {
    let Some(contexts) = contexts(root)? else {
        return Ok(Labels::Unused);
    };
    let guest = root.guest;
    if offline(root, &contexts)? {
        guest.rm_f(FLAG)?;
        return Ok(Labels::Renewed);
    }
    if !first_boot {
        guest.rm_f(FLAG)?;
        return Ok(Labels::Stale);
    }
    if !guest.exists(FLAG)? {
        guest.touch(FLAG)?;
    }
    Ok(Labels::AtFirstBoot)
}

/// The file that says which label a path gets, if the guest uses SELinux.
fn contexts(root: &GuestRoot<'_>) -> Result<Option<String>> {
    const CONFIG: &str = "/etc/selinux/config";
    if !root.guest.is_file(CONFIG)? {
        return Ok(None);
    }
    let config = root.guest.read_file(CONFIG)?;
    let Some(policy) = policy(&String::from_utf8_lossy(&config)) else {
        return Ok(None);
    };
    let contexts = format!("/etc/selinux/{policy}/contexts/files/file_contexts");
    Ok(root.guest.is_file(&contexts)?.then_some(contexts))
}

/// The policy's name in selinux(8)'s configuration, unless SELinux is off.
fn policy(config: &str) -> Option<String> {
    let value = |name: &str| {
        config
            .lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix(name)?
                    .trim_start()
                    .strip_prefix('=')
            })
            .map(|value| value.trim().to_owned())
            .next_back()
    };
    if value("SELINUX").is_some_and(|mode| mode.eq_ignore_ascii_case("disabled")) {
        return None;
    }
    let plain = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    value("SELINUXTYPE").filter(plain)
}

/// By the appliance's setfiles(8), else by the guest's own. It follows no mounts, so it gets the
/// root of each file system; FAT has no labels to set.
fn offline(root: &GuestRoot<'_>, contexts: &str) -> Result<bool> {
    let guest = root.guest;
    let labelled = root
        .os
        .mountpoints
        .iter()
        .filter(|(_, device)| guest.vfs_type(device).is_ok_and(|kind| kind != "vfat"));
    let roots: Vec<&str> = labelled.map(|(at, _)| at.as_str()).collect();
    let relabel = |root: &&str| guest.selinux_relabel(contexts, root).is_ok();
    if guest.feature_available(&["selinuxrelabel"])? && roots.iter().all(relabel) {
        return Ok(true);
    }
    if !guest.runs_programs_of(root.os) {
        return Ok(false);
    }
    for program in SETFILES {
        if guest.is_file(program)? {
            // -m: the appliance's kernel has no SELinux, so its mounts seem to have no labels.
            let mut words = vec![*program, "-F", "-m"];
            words.extend(["-e", "/proc", "-e", "/sys", "-e", "/dev"]);
            words.push(contexts);
            words.extend(&roots);
            return Ok(guest.command(&words).is_ok());
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_read_as_selinux_reads_it() {
        let text = "# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted \n";
        assert_eq!(policy(text).as_deref(), Some("targeted"));
        assert_eq!(policy("SELINUX=disabled\nSELINUXTYPE=targeted\n"), None);
        assert_eq!(policy("SELINUX=enforcing\nSELINUXTYPE=../x\n"), None);
    }
}
