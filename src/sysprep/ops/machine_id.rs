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

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let guest = root.guest;
    let link = guest.is_symlink(ID)?;
    if link || guest.exists(ID)? {
        if link {
            // Its target is D-Bus' copy, which becomes a link to this one.
            root.changing(Path::new(ID), || {
                guest.rm_f(ID)?;
                guest.touch(ID)
            })?;
        }
        if !is_first_boot(root, ID)? {
            match root.declared.first_boot {
                true => root.write(ID, FIRST_BOOT)?,
                false => root.truncate_path(ID)?,
            }
        }
        if guest.lstat(ID)?.mode & 0o7777 != 0o444 {
            root.changing(Path::new(ID), || guest.chmod(0o444, ID))?;
        }
        if guest.is_symlink(DBUS)? || guest.exists(DBUS)? {
            root.link(DBUS, ID)?;
        }
        return Ok(());
    }
    // Without systemd, D-Bus makes its own at the first boot.
    root.changing(Path::new(DBUS), || guest.rm_f(DBUS))
}

/// Whether systemd takes the next boot for the first one.
fn is_first_boot(root: &GuestRoot<'_>, path: &str) -> Result<bool> {
    let short = root.guest.file_size(path)? <= FIRST_BOOT.len() as u64;
    Ok(short && root.guest.read_file(path)?.trim_ascii() == FIRST_BOOT.trim_end().as_bytes())
}

/// Looks whether the id is still empty, after everything else was done.
///
/// # Errors
/// When something wrote one.
pub(in crate::sysprep) fn verify(root: &GuestRoot<'_>) -> Result<()> {
    for path in [ID, DBUS] {
        let filled = root.guest.is_file(path)? && root.guest.file_size(path)? != 0;
        if filled && !is_first_boot(root, path)? {
            return Err(Error::gate(format!("{path} has content after sealing"))
                .cause("every machine made from the image would have the same id"));
        }
    }
    Ok(())
}
