//! What installers leave on the new disk goes.

use crate::error::Result;
use crate::guest::Guestfs;
use crate::installers::INSTALLERS;

/// Removes what any installer leaves from the mounted disk; says what was there.
///
/// # Errors
/// When something cannot be removed.
pub fn scrub(guest: &Guestfs) -> Result<Vec<String>> {
    let mut removed = vec![];
    for pattern in INSTALLERS.iter().flat_map(|one| one.leaves) {
        for path in guest.glob_paths(pattern)? {
            guest.rm_rf_path(&path)?;
            removed.push(path.display().to_string());
        }
    }
    Ok(removed)
}
