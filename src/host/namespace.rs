//! A namespace of our own: for root so that mounts and processes end with us, for an ordinary
//! user also so that files can belong to every user of the guest.

use std::path::Path;

use super::exec::Program;
use crate::error::{Context as _, Error, Result};

/// Namespaces of root, and of an ordinary user.
const OF_ROOT: &[&str] = &["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
const OF_A_USER: &[&str] = &[
    "--user",
    "--map-root-user",
    "--map-auto",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// A program of the host with the rights of the guest's root over a tree.
pub fn as_guest_root(name: &'static str) -> Program {
    // An ordinary user's PATH lacks the administrator's directories, where most of these live.
    let (namespaces, hint) = if rustix::process::geteuid().is_root() {
        (OF_ROOT, "apt-get install util-linux")
    } else {
        let hint = "an ordinary user needs `uidmap` installed and ranges in /etc/subuid and /etc/subgid: \
             usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER";
        (OF_A_USER, hint)
    };
    Program::new(name).in_namespaces(namespaces).hint(hint)
}

/// What the files of a directory tree take on a disk, in bytes.
///
/// # Errors
/// When one cannot be looked at.
pub fn tree_size(tree: &Path) -> Result<u64> {
    let printed = as_guest_root("du")
        .args(["--summarize", "--block-size=1"])
        .arg(tree)
        .text()?;
    let first = printed.split_whitespace().next();
    first
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Error::internal("du printed no size"))
}

/// Removes a directory tree, also one with files of the guest's users.
///
/// # Errors
/// When something of it stays.
pub fn remove_tree(tree: &Path) -> Result<()> {
    match std::fs::remove_dir_all(tree) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error)
            if error.kind() == std::io::ErrorKind::PermissionDenied
                && !rustix::process::geteuid().is_root() =>
        {
            as_guest_root("rm").args(["-rf", "--"]).arg(tree).run()
        }
        Err(error) => Err(error).doing(|| format!("removing {}", tree.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_gets_a_user_namespace_beside_what_root_gets() {
        assert_eq!(OF_A_USER[..3], ["--user", "--map-root-user", "--map-auto"]);
        assert_eq!(&OF_A_USER[3..], OF_ROOT);
    }
}
