//! Empties `/etc/machine-id`, which the first boot fills, and makes D-Bus' copy a link to it.

use crate::error::{Error, Result};
use crate::sysprep::{Operation, Run, Site};

/// The table's entry.
pub(in crate::sysprep) static OPERATION: Operation = Operation {
    name: "machine-id",
    heading: "Empty the machine id",
    default: true,
    doc: "Empties `/etc/machine-id`, which the first boot fills, and makes D-Bus' copy a link to it.",
    run: Run::Files(run),
};

const ID: &str = "/etc/machine-id";
const DBUS: &str = "/var/lib/dbus/machine-id";

fn run(site: &mut Site<'_>) -> Result<()> {
    let guest = site.guest;
    let link = guest.is_symlink(ID)?;
    if link || guest.exists(ID)? {
        if link {
            // Its target is D-Bus' copy, which becomes a link to this one.
            guest.rm_f(ID)?;
            guest.touch(ID)?;
        }
        site.truncate_path(ID)?;
        if guest.lstat(ID)?.mode & 0o7777 != 0o444 {
            guest.chmod(0o444, ID)?;
        }
        if guest.is_symlink(DBUS)? || guest.exists(DBUS)? {
            site.link(DBUS, ID)?;
        }
        return Ok(());
    }
    // Without systemd, D-Bus makes its own at the first boot.
    guest.rm_f(DBUS)
}

/// Looks whether the id is still empty, after everything else was done.
///
/// # Errors
/// When something wrote one.
pub(in crate::sysprep) fn verify(site: &Site<'_>) -> Result<()> {
    for path in [ID, DBUS] {
        if site.guest.is_file(path)? && site.guest.file_size(path)? != 0 {
            return Err(Error::gate(format!("{path} has content after sealing"))
                .cause("every machine made from the image would have the same id"));
        }
    }
    Ok(())
}
