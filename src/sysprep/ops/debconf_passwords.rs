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

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.truncate(&["/var/cache/debconf/passwords.dat"])?;
    site.remove(&["/var/cache/debconf/passwords.dat-old"])
}
