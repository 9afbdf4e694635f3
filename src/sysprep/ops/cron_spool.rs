use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "cron-spool",
    "Remove users' scheduled jobs",
    "Removes the tables of crontab(1) and the jobs of at(1); `/etc/cron.d` and its like stay.",
    run,
)
.gone(&["var/spool/cron/crontabs/ann", "var/spool/cron/root"])
.edited(&[("var/spool/cron/atjobs/.SEQ", "00017\n", "00000\n")])
.stay(&["etc/cron.d/job"]);

/// The number of at(1)'s next job, where different systems keep it: a file of the program's own.
const NEXT: &[&str] = &[
    "/var/spool/cron/atjobs/.SEQ",
    "/var/spool/atjobs/.SEQ",
    "/var/spool/at/.SEQ",
];

const DIRS: &[&str] = &[
    "/var/spool/cron",
    "/var/spool/at",
    "/var/spool/atjobs",
    "/var/spool/atspool",
];

const FIRST: &str = "00000\n";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let mut counters = Vec::new();
    for path in NEXT {
        if root.guest.is_file(path)? {
            counters.push((*path, root.guest.read_file(path)?));
        }
    }
    let numbers: Vec<String> = counters
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .collect();
    // Debian's sub-directories have owners that the programs insist on.
    root.remove_files_below(DIRS, &numbers)?;
    for (path, number) in counters {
        if number != FIRST.as_bytes() {
            root.write(path, FIRST)?;
        }
    }
    Ok(())
}
