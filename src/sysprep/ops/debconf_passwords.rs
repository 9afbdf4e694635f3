//! Empties debconf's database of passwords.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "debconf-passwords",
    heading: "Remove passwords that packages asked for",
    default: true,
    doc: "Empties debconf's database of passwords.",
    run: Run::Files(run),
};

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.truncate(&["/var/cache/debconf/passwords.dat"])?;
    site.remove(&["/var/cache/debconf/passwords.dat-old"])
}
