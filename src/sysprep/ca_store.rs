//! The list of certificate authorities that a guest makes of many files.

use super::GuestRoot;
use crate::error::Result;

/// The programs that make it: Red Hat's, Debian's.
const PROGRAMS: &[&str] = &[
    "/usr/bin/update-ca-trust",
    "/usr/sbin/update-ca-certificates",
];

/// Has the guest make its list anew, if an operation took something from it. Only the guest's own
/// program can; where that cannot run, the user is told.
pub(super) fn update(site: &mut GuestRoot<'_>) -> Result<()> {
    if !site.ca_store_changed {
        return Ok(());
    }
    for program in PROGRAMS {
        if !site.guest.is_file(program)? {
            continue;
        }
        let runs = site.guest.runs_programs_of(site.os);
        let done = runs && site.guest.command(&[program]).is_ok();
        if !done {
            site.notes.push(format!(
                "{program} did not run, so the image may still trust a removed certificate authority"
            ));
        }
    }
    Ok(())
}
