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
pub(super) fn update(root: &mut GuestRoot<'_>) -> Result<()> {
    if !root.ca_store_changed {
        return Ok(());
    }
    for program in PROGRAMS {
        if !root.guest.is_file(program)? {
            continue;
        }
        let runs = root.guest.runs_programs_of(root.os);
        let done = runs && root.guest.command(&[program]).is_ok();
        if !done {
            root.notes.push(format!(
                "{program} did not run, so the image may still trust a removed certificate authority"
            ));
        }
    }
    Ok(())
}
