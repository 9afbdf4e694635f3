//! Puts the runner's starter into an image, offline.

use super::meanwhile;
use super::script::{START, START_PATH};
use crate::error::{Error, Result};
use crate::guest::Guestfs;
use crate::host::accel::Accel;

/// An image's own first-boot steps.
const INSTANCE: &str = "/usr/lib/imgforge-instance";

const SYSTEMD: &str = "/etc/systemd/system";

pub(super) const UNITS: &[(&str, &str)] = &[
    (
        "imgforge-start.service",
        include_str!("guest/init/imgforge-start.service"),
    ),
    (
        "imgforge-runner.service",
        include_str!("guest/init/imgforge-runner.service"),
    ),
];

const SYSVINIT: &str = include_str!("guest/init/imgforge.sh");

const OPENRC: &str = include_str!("guest/init/imgforge.openrc");

/// Makes the runner start at the next boot of the mounted guest, which this runs, and gives it time.
///
/// # Errors
/// When the guest's init system is not known, it has no `tar`, or it cannot be written.
pub fn inject(guest: &Guestfs, accel: Accel) -> Result<()> {
    let has = |paths: &[&str]| -> Result<bool> {
        for path in paths {
            if guest.exists(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if !has(&["/bin/tar", "/usr/bin/tar"])? {
        return Err(
            Error::stage("the guest has no `tar`, which the runner needs")
                .hint("let the installation include the package tar"),
        );
    }
    guest.mkdir_p("/usr/lib/imgforge")?;
    guest.write(START_PATH, START)?;
    guest.chmod(0o755, START_PATH)?;
    meanwhile::put(guest, accel)?;
    if has(&["/usr/lib/systemd/systemd", "/lib/systemd/systemd"])? {
        systemd(guest)
    } else if has(&["/etc/runlevels/default"])? {
        guest.write("/etc/init.d/imgforge", OPENRC)?;
        guest.chmod(0o755, "/etc/init.d/imgforge")?;
        guest.ln_sf("/etc/init.d/imgforge", "/etc/runlevels/default/imgforge")
    } else if has(&["/etc/init.d", "/etc/inittab"])? {
        sysvinit(guest)
    } else {
        Err(Error::stage("the guest's init system is not known")
            .cause("it has neither systemd nor OpenRC nor /etc/init.d"))
    }
}

/// Keeps the first-boot steps of an image below from running in a build's guest, where they would
/// run once for all machines; the runner puts them back in the end.
///
/// # Errors
/// When the guest cannot be written.
pub fn hold_instance(guest: &Guestfs) -> Result<()> {
    if guest.exists(INSTANCE)? {
        guest.mv(INSTANCE, &format!("{INSTANCE}.held"))?;
    }
    Ok(())
}

fn systemd(guest: &Guestfs) -> Result<()> {
    let wants = format!("{SYSTEMD}/multi-user.target.wants");
    guest.mkdir_p(&wants)?;
    for (name, text) in UNITS {
        let path = format!("{SYSTEMD}/{name}");
        guest.write(&path, text)?;
        guest.chmod(0o644, &path)?;
    }
    guest.ln_sf(
        "../imgforge-start.service",
        &format!("{wants}/imgforge-start.service"),
    )
}

fn sysvinit(guest: &Guestfs) -> Result<()> {
    guest.mkdir_p("/etc/init.d")?;
    guest.write("/etc/init.d/imgforge", SYSVINIT)?;
    guest.chmod(0o755, "/etc/init.d/imgforge")?;
    for level in 2..=5 {
        let links = format!("/etc/rc{level}.d");
        if guest.is_dir(&links)? {
            guest.ln_sf("../init.d/imgforge", &format!("{links}/S99imgforge"))?;
        }
    }
    Ok(())
}
