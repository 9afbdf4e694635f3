use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "debconf-passwords",
    "Remove passwords that packages asked for",
    "Empties debconf's database of passwords.",
    run,
)
.ours()
.emptied(&["var/cache/debconf/passwords.dat"]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.truncate(&["/var/cache/debconf/passwords.dat"])?;
    root.remove(&["/var/cache/debconf/passwords.dat-old"])
}
