use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "utmp",
    "Empty the records of logins",
    "Empties the records of who logged in, when and from where.",
    run,
)
.gone(&["var/run/utmp"]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.truncate(&[
        "/var/log/btmp",
        "/var/log/faillog",
        "/var/log/lastlog",
        "/var/log/tallylog",
        "/var/log/wtmp",
    ])?;
    root.remove(&[
        "/run/utmp",
        "/var/run/utmp",
        "/var/lib/lastlog/lastlog2.db",
        "/var/lib/wtmpdb/wtmp.db",
        "/var/log/btmp?*",
        "/var/log/wtmp?*",
    ])
}
