//! Settings that a guest has while a build runs it, and no longer: time limits that follow the
//! speed of the host, and nothing that restarts services in the middle of a step.
//!
//! The runner removes them with its own traces, and seal once more; a gate's are in a throw-away
//! overlay. Only what systemd of the root reads is reached: the kernel's and the initrd's limits
//! are not, nor what an image's own fstab says.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::guest::Guestfs;
use crate::host::accel::Accel;
use crate::hypervisor::patience;

/// What each is called: the last of its directory, so that it wins.
const NAME: &str = "zz-imgforge.conf";

/// Where units are, the one that wins last.
const UNITS: [&str; 3] = [
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/etc/systemd/system",
];

const NETWORKD: &str = "systemd-networkd-wait-online.service";
const NETWORK_MANAGER: &str = "NetworkManager-wait-online.service";

/// What they wait for a network when nobody says how long, in seconds.
const NETWORKD_WAITS: u32 = 120;
const NETWORK_MANAGER_WAITS: u32 = 60;

/// needrestart only lists what it would restart: it runs at the end of every installation of
/// packages, and the runner itself is older than a library that was replaced. Steps have it
/// suspended; this is for what does not know their environment, such as unattended-upgrades.
/// The one that Ubuntu 24.04 came with (3.6-7ubuntu4) restarts whatever `restart` says, unless a
/// `ui` is named.
const NEEDRESTART: &str = "$nrconf{restart} = 'l';\n\
    $nrconf{ui} = 'NeedRestart::UI::stdio';\n\
    $nrconf{override_rc} = { qr(.) => 0 };\n";

/// What the runner's version depends on.
pub(super) const TEXTS: &[(&str, &str)] = &[("needrestart", NEEDRESTART)];

/// Writes them into the mounted guest.
pub(super) fn put(guest: &Guestfs, accel: Accel) -> Result<()> {
    let mut files: Vec<(String, String)> = vec![];
    let mut add = |dir: &str, text: String| files.push((dir.to_owned(), text));
    if let Some(text) = patience::manager(accel) {
        add("/etc/systemd/system.conf.d", text);
        let (factor, netplan) = (accel.time_factor(), guest.exists("/usr/sbin/netplan")?);
        if let Some(text) = networkd(&settings(guest, NETWORKD)?, netplan, factor) {
            add(&format!("/etc/systemd/system/{NETWORKD}.d"), text);
        }
        if !settings(guest, NETWORK_MANAGER)?.is_empty() {
            let seconds = NETWORK_MANAGER_WAITS * factor;
            let text = format!("[Service]\nEnvironment=NM_ONLINE_TIMEOUT={seconds}\n");
            add(&format!("/etc/systemd/system/{NETWORK_MANAGER}.d"), text);
        }
    }
    // A step may be what installs it.
    if guest.is_dir("/etc/apt")? {
        add("/etc/needrestart/conf.d", NEEDRESTART.to_owned());
    }
    for (dir, text) in files {
        let path = format!("{dir}/{NAME}");
        guest.mkdir_p(&dir)?;
        guest.write(&path, &text)?;
        guest.chmod(0o644, &path)?;
    }
    Ok(())
}

/// What systemd reads of a unit, in its order: the unit's file and its drop-ins, each with its
/// name. Nothing of a unit that is masked or not there.
fn settings(guest: &Guestfs, unit: &str) -> Result<Vec<(String, String)>> {
    let text = |path: &str| -> Result<Option<String>> {
        Ok(match guest.is_file(path)? {
            true => Some(String::from_utf8_lossy(&guest.read_file(path)?).into_owned()),
            false => None,
        })
    };
    let mut found = None;
    let mut more = BTreeMap::new();
    for dir in UNITS {
        let path = format!("{dir}/{unit}");
        if guest.is_symlink(&path)? {
            found = None;
        } else if let Some(text) = text(&path)? {
            found = Some(text);
        }
        for path in guest.glob(&format!("{dir}/{unit}.d/*.conf"))? {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            more.insert(name, text(&path)?.unwrap_or_default());
        }
    }
    let Some(found) = found else {
        return Ok(vec![]);
    };
    let first = (unit.to_owned(), found);
    Ok(std::iter::once(first).chain(more).collect())
}

/// The same program with the same arguments, and more time. What netplan writes at each boot, and
/// nobody knows before, would be lost: where there is netplan, only settings behind its own count.
fn networkd(settings: &[(String, String)], netplan: bool, factor: u32) -> Option<String> {
    let mut program = None;
    for (name, text) in settings {
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "ExecStart").then(|| value.trim().to_owned())
        });
        for value in values {
            program = (!value.is_empty()).then_some((name, value));
        }
    }
    let (name, program) = program?;
    if netplan && (name == NETWORKD || name.as_str() <= "10-netplan.conf") {
        return None;
    }
    let given = program.rsplit_once("--timeout=").map(|(_, rest)| rest);
    let given = given.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let seconds = given.unwrap_or(NETWORKD_WAITS).saturating_mul(factor);
    Some(format!(
        "[Service]\nExecStart=\nExecStart={program} --timeout={seconds}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(settings: &[(&str, &str)], netplan: bool) -> Option<String> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        networkd(&settings.iter().map(owned).collect::<Vec<_>>(), netplan, 6)
    }

    #[test]
    fn what_waits_for_the_network_gets_more_time_and_keeps_its_arguments() {
        let unit = (
            NETWORKD,
            "[Service]\nType=oneshot\nExecStart=/lib/systemd/wait\n",
        );
        let any = (
            "50-any.conf",
            "[Service]\nExecStart=\nExecStart=/lib/wait --any\n",
        );
        let own = (
            "60-own.conf",
            "[Service]\nExecStart=\nExecStart=/lib/wait --timeout=30 -i a\n",
        );
        for (settings, line) in [
            (vec![unit], "/lib/systemd/wait --timeout=720"),
            (vec![unit, any], "/lib/wait --any --timeout=720"),
            (
                vec![unit, any, own],
                "/lib/wait --timeout=30 -i a --timeout=180",
            ),
        ] {
            let text = format!("[Service]\nExecStart=\nExecStart={line}\n");
            assert_eq!(waits(&settings, false), Some(text));
        }
        assert_eq!(waits(&[], false), None);
        assert_eq!(waits(&[unit, ("x.conf", "ExecStart=\n")], false), None);
        assert!(waits(&[unit], true).is_none() && waits(&[unit, any], true).is_some());
    }
}
