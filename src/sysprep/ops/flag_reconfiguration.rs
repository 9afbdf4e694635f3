use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "flag-reconfiguration",
    "Ask for settings at the first boot",
    "Makes `/.unconfigured`, which lets older Red Hat systems ask for a root password and more \
     at the first boot. Off by default: an image that asks questions cannot start by itself.",
    run,
)
.off()
.made(&[".unconfigured"]);

const FLAG: &str = "/.unconfigured";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    match root.guest.exists(FLAG)? {
        true => Ok(()),
        false => root.guest.touch(FLAG),
    }
}
