//! What installers leave on the new disk goes.

use crate::error::Result;
use crate::guest::Guestfs;
use crate::installers::{self, INSTALLERS};

/// Removes what any installer leaves from the mounted disk; says what was there.
///
/// # Errors
/// When something cannot be removed.
pub fn scrub(guest: &Guestfs) -> Result<Vec<String>> {
    let mut removed = vec![];
    let settings = INSTALLERS.iter().flat_map(|one| one.leaves.settings);
    for pattern in installers::traces().iter().chain(settings) {
        for path in guest.glob_paths(pattern)? {
            guest.rm_rf_path(&path)?;
            removed.push(path.display().to_string());
        }
    }
    Ok(removed)
}
