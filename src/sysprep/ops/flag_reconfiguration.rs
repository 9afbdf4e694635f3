//! Makes `/.unconfigured`, which lets older Red Hat systems ask for a root password and more at
//! the first boot. Off by default: an image that asks questions cannot start by itself.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "flag-reconfiguration",
    heading: "Ask for settings at the first boot",
    default: false,
    doc: "Makes `/.unconfigured`, which lets older Red Hat systems ask for a root password and more at the first boot. Off by default: an image that asks questions cannot start by itself.",
    run: Run::Files(run),
};

const FLAG: &str = "/.unconfigured";

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    match site.guest.exists(FLAG)? {
        true => Ok(()),
        false => site.guest.touch(FLAG),
    }
}
