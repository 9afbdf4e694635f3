//! What installers leave on the new disk goes.

use super::kind::Kind;
use crate::distro::AnswerKind;
use crate::error::Result;
use crate::guest::Guestfs;

/// Removes what any installer leaves from the mounted disk; says what was there.
///
/// # Errors
/// When something cannot be removed.
pub fn scrub(guest: &Guestfs) -> Result<Vec<String>> {
    let mut removed = vec![];
    let kinds = AnswerKind::ALL.map(Kind::reading);
    for pattern in kinds.iter().flat_map(|kind| kind.leaves) {
        for path in guest.glob_paths(pattern)? {
            guest.rm_rf_path(&path)?;
            removed.push(path.display().to_string());
        }
    }
    Ok(removed)
}
