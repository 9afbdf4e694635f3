use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "pacct-log",
    "Empty process accounting",
    "Empties the logs of process accounting and removes rotated ones.",
    run,
)
.emptied(&["var/log/account/pacct"]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(&["/var/account/pacct?*", "/var/log/account/pacct?*"])?;
    root.truncate(&["/var/account/pacct", "/var/log/account/pacct"])
}
