//! State directories: what imgforge keeps for a user is changed by nobody else.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{io, iter};

use crate::error::{Error, Result};
use crate::host::durable;
use crate::host::ours::{self, Owners};

/// Every name that imgforge gives to something in a state directory, and what file systems have at
/// their root.
pub const NAMES: &[&str] = &[
    "blocks",
    "cache",
    "digests.json",
    "epochs",
    "gnupg",
    "images",
    ".gitignore",
    ".gitkeep",
    "ledger",
    "locks",
    "logs",
    "lost+found",
    "made",
    "pins",
    "puppet",
    "records",
    "repositories",
    "store",
];

/// What to type where a state directory cannot be one.
pub const ANOTHER: &str =
    "choose a directory of its own with --state DIR, or `state:` in imgforge.yaml";

/// Whether nobody but this user, or root, can change what is in a state directory that is there.
/// Each part is looked at by itself: who could write the directory once may have made one.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host), with what mends it.
pub fn check(state: &Path) -> Result<()> {
    // One that is missing is made for this user only, and what cannot be found tells who uses it.
    let Ok(state) = state.canonicalize() else {
        return Ok(());
    };
    let owners = Owners::me_and_root();
    let found = |path: &Path| path.symlink_metadata().ok();
    if found(&state).is_some_and(|found| ![0, ours::me()].contains(&found.uid())) {
        return Err(of_another(&state));
    }
    let parts = NAMES.iter().map(|part| state.join(part));
    for path in iter::once(state.clone()).chain(parts) {
        let Some(found) = found(&path) else { continue };
        let fault = owners.fault(&path, &found, false);
        let (why, mend) = match fault {
            Some(fault) => (fault.why, fault.mend.map(|mend| format!("`{mend}`"))),
            None if found.is_dir() || found.is_file() => continue,
            None => (
                format!("{} is a link, or no directory", path.display()),
                Some("put a directory there, or `mount --bind` the one elsewhere".into()),
            ),
        };
        let state = state.display();
        let what = format!("others can change what is in the state directory {state}");
        let hint = mend.map_or_else(
            || ANOTHER.to_owned(),
            |mend| format!("{mend}; or {ANOTHER}"),
        );
        return Err(Error::host(what).cause(why).hint(hint));
    }
    Ok(())
}

/// What is said of a state directory whose owner this user is not.
pub fn of_another(state: &Path) -> Error {
    let state = state.display();
    Error::host(format!("{state} belongs to another user"))
        .cause("who owns it can change what a build takes from it")
        .hint(ANOTHER)
}

/// Makes a directory, and those above it that are missing, for the owner only; their names last.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    durable::create_dir(path, 0o700)
}
