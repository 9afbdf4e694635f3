use std::path::Path;

use crate::error::{Error, Result};
use crate::sysprep::{GuestRoot, Operation};

pub(in crate::sysprep) static OPERATION: Operation = Operation::files(
    "machine-id",
    "Empty the machine id",
    "Empties `/etc/machine-id`, which the first boot fills, and makes D-Bus' copy a link to it. \
     With `seal: {machine-id: uninitialized}` it writes that word, and where it stands already \
     it stays.",
    run,
)
.emptied(&["etc/machine-id"]);

const ID: &str = "/etc/machine-id";
const DBUS: &str = "/var/lib/dbus/machine-id";

/// What stands there before a first boot that is one for systemd, too. Without it a boot fills the
/// file as well, but units with `ConditionFirstBoot=yes` do not run, and no preset applies.
const FIRST_BOOT: &str = "uninitialized\n";

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    let guest = site.guest;
    let link = guest.is_symlink(ID)?;
    if link || guest.exists(ID)? {
        if link {
            // Its target is D-Bus' copy, which becomes a link to this one.
            site.changing(Path::new(ID), || {
                guest.rm_f(ID)?;
                guest.touch(ID)
            })?;
        }
        if !is_first_boot(site, ID)? {
            match site.declared.first_boot {
                true => site.write(ID, FIRST_BOOT)?,
                false => site.truncate_path(ID)?,
            }
        }
        if guest.lstat(ID)?.mode & 0o7777 != 0o444 {
            site.changing(Path::new(ID), || guest.chmod(0o444, ID))?;
        }
        if guest.is_symlink(DBUS)? || guest.exists(DBUS)? {
            site.link(DBUS, ID)?;
        }
        return Ok(());
    }
    // Without systemd, D-Bus makes its own at the first boot.
    site.changing(Path::new(DBUS), || guest.rm_f(DBUS))
}

/// Whether systemd takes the next boot for the first one.
fn is_first_boot(site: &GuestRoot<'_>, path: &str) -> Result<bool> {
    let short = site.guest.file_size(path)? <= FIRST_BOOT.len() as u64;
    Ok(short && site.guest.read_file(path)?.trim_ascii() == FIRST_BOOT.trim_end().as_bytes())
}

/// Looks whether the id is still empty, after everything else was done.
///
/// # Errors
/// When something wrote one.
pub(in crate::sysprep) fn verify(site: &GuestRoot<'_>) -> Result<()> {
    for path in [ID, DBUS] {
        let filled = site.guest.is_file(path)? && site.guest.file_size(path)? != 0;
        if filled && !is_first_boot(site, path)? {
            return Err(Error::gate(format!("{path} has content after sealing"))
                .cause("every machine made from the image would have the same id"));
        }
    }
    Ok(())
}
