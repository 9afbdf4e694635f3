//! State directories: what imgforge keeps for a user is changed by nobody else.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{io, iter};

use crate::error::{Error, Result};
use crate::host::durable;
use crate::host::ours::{self, Fault, Owners, Seen};
use crate::host::taken;

/// Every name that imgforge gives to something in a state directory, and what file systems have at
/// their root.
pub const NAMES: &[&str] = &[
    "blocks",
    "cache",
    "digests.json",
    "epochs",
    "gnupg",
    "images",
    "jobs",
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
    "updates",
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
    // One that is missing is made for this user only.
    let is_missing = |cause: &io::Error| {
        matches!(
            cause.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    let unseen = |path: &Path, cause| Err(changed(state, Fault::unseen(path, &cause)));
    let state = match state.canonicalize() {
        Ok(state) => state,
        Err(cause) if is_missing(&cause) => return Ok(()),
        Err(cause) => return unseen(state, cause),
    };
    let owners = Owners::me_and_root();
    let of = |seen: Seen| seen.data().uid();
    if Seen::at(&state).is_ok_and(|seen| ![0, ours::me()].contains(&of(seen))) {
        return Err(of_another(&state));
    }
    let parts = NAMES.iter().map(|part| state.join(part));
    for path in iter::once(state.clone()).chain(parts) {
        let seen = match Seen::at(&path) {
            Ok(seen) => seen,
            // Of the directory itself it was there a moment ago.
            Err(cause) if is_missing(&cause) && path != state => continue,
            Err(cause) => return unseen(&path, cause),
        };
        match owners.fault(&path, &seen, false) {
            Some(fault) => return Err(changed(&state, fault)),
            None if seen.data().is_dir() || seen.data().is_file() => {}
            None => {
                let why = format!("{} is a link, or no directory", path.display());
                let mend = "put a directory there, or `mount --bind` the one elsewhere";
                return Err(others_can(&state, why, Some(mend.into())));
            }
        }
    }
    Ok(())
}

/// As [`check`], and whether nobody else may rename it or what it is in, and put another one there; returns
/// it without links, as that is what was looked at. Below one of `trusted` those may who may write there: its
/// user has said so.
///
/// # Errors
/// As [`check`]; also when somebody else made a link on the way to it.
pub fn check_whole(state: &Path, trusted: &[PathBuf]) -> Result<PathBuf> {
    // A `/` at its end would have a link followed.
    let state: PathBuf = state.components().collect();
    // Where one that is missing will be made.
    let mut above = state.ancestors();
    let found = above.find(|dir| dir.symlink_metadata().is_ok());
    let found = found.unwrap_or(Path::new("/"));
    let there = taken::named(found).map_err(|cause| {
        Error::host(format!("the state directory cannot be {}", state.display()))
            .cause(cause)
            .hint(ANOTHER)
    })?;
    let missing = state.strip_prefix(found).unwrap_or(Path::new(""));
    let state: PathBuf = there.iter().chain(missing).collect();
    check(&state)?;
    let within = match missing.iter().next() {
        None => state.parent().unwrap_or(&state),
        Some(_) => &there,
    };
    let has_it = |dir: &PathBuf| dir.canonicalize().is_ok_and(|dir| within.starts_with(dir));
    let owners = Owners::obeyed().and_of_the_root_directory();
    match owners.fault_at_or_above(within) {
        Some(fault) if !trusted.iter().any(has_it) => Err(changed(&state, fault)),
        _ => Ok(state),
    }
}

fn changed(state: &Path, fault: Fault) -> Error {
    others_can(state, fault.why, fault.mend.map(|mend| format!("`{mend}`")))
}

fn others_can(state: &Path, why: String, mend: Option<String>) -> Error {
    let what = format!(
        "others can change what is in the state directory {}",
        state.display()
    );
    let mend = mend.map_or_else(String::new, |mend| format!("{mend}; or "));
    Error::host(what)
        .cause(why)
        .hint(format!("{mend}{ANOTHER}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    /// What a link of another user leads to, that user decides each time.
    #[test]
    fn a_state_directory_is_what_was_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let (there, link) = (real.join("there"), real.join("link"));
        create_dir(&there).unwrap();
        set_permissions(&there, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&there, &link).unwrap();
        for missing in ["", "new/of/it"] {
            let found = check_whole(&link.join(missing), &[]).unwrap();
            assert_eq!(found, there.join(missing));
        }
        std::os::unix::fs::symlink(real.join("none"), real.join("dangling")).unwrap();
        assert!(check_whole(&real.join("dangling/"), &[]).is_err());
        let another = match ours::me() {
            0 => {
                std::os::unix::fs::lchown(&link, Some(65533), None).unwrap();
                link
            }
            // One that only root can follow.
            _ => "/proc/1/cwd".into(),
        };
        for missing in ["", "new"] {
            let refused = check_whole(&another.join(missing), &[]).unwrap_err();
            assert_eq!(refused.hint_text(), Some(ANOTHER), "{refused}");
        }
    }

    #[test]
    fn who_may_rename_a_state_directory_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let above = dir.path().join("above");
        let state = above.join("of/state");
        for made in [&above, &above.join("of"), &state] {
            create_dir(made).unwrap();
            set_permissions(made, Permissions::from_mode(0o700)).unwrap();
        }
        for (mode, good) in [(0o755, true), (0o777, false), (0o1777, true)] {
            set_permissions(&above, Permissions::from_mode(mode)).unwrap();
            assert_eq!(check_whole(&state, &[]).is_ok(), good, "{mode:o}");
            assert!(
                check_whole(&state, std::slice::from_ref(&above)).is_ok(),
                "{mode:o}"
            );
            let others = [above.join("of/other")];
            assert_eq!(check_whole(&state, &others).is_ok(), good, "{mode:o}");
            // One that is not there yet, also in directories that are not.
            for missing in ["of/new", "new/of/it"] {
                let missing = above.join(missing);
                assert_eq!(check_whole(&missing, &[]).is_ok(), good, "{mode:o}");
            }
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_no_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(check(&state).is_ok(), "one that is missing is made");
        std::os::unix::fs::symlink("state", &state).unwrap();
        let error = check(&state).unwrap_err().render();
        assert!(error.contains("cannot be looked at"), "{error}");
    }
}
