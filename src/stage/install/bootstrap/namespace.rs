//! A namespace of our own: for root so that mounts and processes end with us, for an ordinary
//! user also so that files can belong to every user of the guest.

use std::path::Path;

use crate::error::{Context as _, Result};
use crate::host::exec::{Program, find};

/// A program as the guest's root.
pub fn as_guest_root(name: &str) -> Program {
    // An ordinary user's PATH lacks the administrator's directories, where most of these live.
    let Some(path) = find(name) else {
        return Program::new(name);
    };
    let root = rustix::process::geteuid().is_root();
    Program::new("unshare")
        .args(arguments(root))
        .arg(path)
        .hint(if root {
            "apt-get install util-linux"
        } else {
            "an ordinary user needs `uidmap` installed and ranges in /etc/subuid and /etc/subgid: \
             usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
        })
}

fn arguments(root: bool) -> Vec<&'static str> {
    let user = ["--user", "--map-root-user", "--map-auto"];
    let all = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let user = if root { &[][..] } else { &user[..] };
    [user, &all, &["--"]].concat()
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
    fn only_an_ordinary_user_needs_a_user_namespace() {
        assert!(!arguments(true).contains(&"--user"));
        assert_eq!(
            arguments(false).join(" "),
            "--user --map-root-user --map-auto --mount --pid --fork --kill-child --mount-proc --"
        );
    }
}
