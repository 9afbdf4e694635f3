//! Removes the tables of crontab(1) and the jobs of at(1). Hidden files, such as at's counter,
//! are the programs' own.

use crate::error::Result;
use crate::sysprep::{Operation, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "cron-spool",
    heading: "Remove users' scheduled jobs",
    default: true,
    doc: "Removes the tables of crontab(1) and the jobs of at(1); `/etc/cron.d` and its like stay.",
    run,
};

fn run(site: &mut Site<'_>) -> Result<()> {
    for dir in ["/var/spool/cron", "/var/spool/at"] {
        for path in site.guest.glob(&format!("{dir}/*"))? {
            // Debian's sub-directories have owners that the programs insist on.
            if site.guest.is_dir(&path)? {
                site.guest
                    .glob(&format!("{path}/*"))?
                    .iter()
                    .try_for_each(|job| site.remove_path(job))?;
            } else {
                site.remove_path(&path)?;
            }
        }
    }
    Ok(())
}
