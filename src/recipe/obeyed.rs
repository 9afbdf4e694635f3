//! Whose recipe repositories are obeyed: imgforge.yaml names hooks, keys and the state directory, and
//! is looked for in every directory above.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config;
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::host::ours::{Fault, Owners, Seen};
use crate::host::taken;

/// The environment variable of `--trust`.
pub const TRUST: &str = "IMGFORGE_TRUST";

/// Refuses the repository in `root` if others could have written what it says, unless it is one
/// of `trusted`.
pub(super) fn check(root: &Path, trusted: &[PathBuf], owners: &Owners) -> Result<()> {
    let is_root = |dir: &PathBuf| dir.canonicalize().is_ok_and(|dir| dir == root);
    match fault(root, owners) {
        Some(fault) if !trusted.iter().any(is_root) => Err(refused(root, &fault)),
        _ => Ok(()),
    }
}

fn fault(root: &Path, owners: &Owners) -> Option<Fault> {
    let at = |path: &Path, seen: std::io::Result<_>| match seen {
        Ok(seen) => owners.fault(path, &seen, false),
        Err(cause) => Some(Fault::unseen(path, &cause)),
    };
    // Only of the names in a root that nobody else can change is one that is missing none of theirs.
    let is_missing =
        |path: &Path| Seen::at(path).is_err_and(|cause| cause.kind() == ErrorKind::NotFound);
    let whole = owners.clone().and_of_the_root_directory();
    let above = |path: &Path| whole.fault_at_or_above(path.parent()?);
    // Whose each link on the way is, what that lies in, and what it all leads to.
    let led = |path: &PathBuf| {
        let unseen = |cause| Fault::unseen(path, &cause);
        let judge = |link: &Path, _: &Seen| match whole.fault_at_or_above(link) {
            Some(fault) => Err(fault),
            None => Ok(()),
        };
        match taken::follow(path, unseen, judge) {
            Err(fault) => Some(fault),
            Ok(end) => at(&end, Seen::at(&end)).or_else(|| above(&end)),
        }
    };
    let names = [config::FILE, "recipes"].map(|name| root.join(name));
    let there = |path: &&PathBuf| !is_missing(path);
    at(root, Seen::at(root))
        .or_else(|| names.iter().filter(there).find_map(led))
        .or_else(|| above(root))
}

/// Whether everybody makes files there, as in /tmp: nobody can trust them all.
fn is_everybodys(dir: &Path) -> bool {
    Seen::at(dir).is_ok_and(|seen| seen.data().mode() & 0o1002 == 0o1002)
}

fn refused(root: &Path, fault: &Fault) -> Error {
    let (shown, word) = (root.display(), quote(&root.to_string_lossy()));
    let fix = fault.mend.as_ref();
    let fix = fix.map(|fix| format!("`{fix}`, or work in another directory"));
    let fix = fix.unwrap_or_else(|| "work in another directory".into());
    Error::host(format!("the recipe repository {shown} is not trusted"))
        .cause(&fault.why)
        .cause(
            "other users can write there, and would choose hooks, keys and the state directory of \
             this user",
        )
        .hint(match is_everybodys(root) {
            true => fix,
            false => format!(
                "if you trust all of them, `export {TRUST}={word}`, or --trust {word}; else {fix}"
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Repo;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("repo");
        create_dir(&root).unwrap();
        create_dir(root.join("recipes")).unwrap();
        write(root.join(config::FILE), "state: /tmp\n").unwrap();
        create_dir(root.join("deep")).unwrap();
        (dir, root)
    }

    #[test]
    fn what_others_may_write_is_not_obeyed_from_wherever_it_is_found() {
        let (_dir, root) = repository();
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert!(Repo::open(&root.join("deep")).is_ok());
        for (name, good) in [
            ("", 0o755),
            (config::FILE, 0o644),
            ("recipes", 0o755),
            ("..", 0o700),
        ] {
            let path = root.join(name);
            set(&path, good | 0o002);
            for from in [&root, &root.join("deep")] {
                let text = Repo::open(from).unwrap_err().render();
                // Above lies more than the repository.
                let mend = if name == ".." {
                    "another"
                } else {
                    "chmod go-w"
                };
                for part in ["is not trusted", mend, "IMGFORGE_TRUST=", "--trust"] {
                    assert!(text.contains(part), "{name}: no `{part}` in {text}");
                }
                // Not taken for none, either.
                assert!(Repo::find(from, &[]).is_err(), "{name}");
                let trusted = Repo::find(from, &[root.join("recipes/..")]).unwrap();
                assert_eq!(trusted.unwrap().root(), root);
                assert!(Repo::find(from, &[root.join("deep")]).is_err());
            }
            set(&path, good);
        }
        assert!(Repo::open(&root).is_ok());
        // As /tmp: who may make a file there may make this one.
        set(&root, 0o1777);
        let text = Repo::open(&root).unwrap_err().render();
        assert!(!text.contains("--trust"), "{text}");
        set(&root, 0o755);
        // Those above may be: there each renames what is their own.
        set(root.parent().unwrap(), 0o1777);
        assert!(Repo::open(&root).is_ok());
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_obeyed() {
        let (_dir, root) = repository();
        assert!(fault(&root, &Owners::obeyed()).is_none());
        std::fs::remove_dir(root.join("recipes")).unwrap();
        assert!(fault(&root, &Owners::obeyed()).is_none());
        // As one that is renamed away while it is judged.
        assert!(fault(&root.join("gone"), &Owners::obeyed()).is_some());
        std::os::unix::fs::symlink("recipes", root.join("recipes")).unwrap();
        assert!(fault(&root, &Owners::obeyed()).is_some());
    }

    #[test]
    fn a_link_to_what_others_may_write_is_not_obeyed() {
        let (dir, root) = repository();
        let shared = dir.path().join("shared");
        create_dir(&shared).unwrap();
        let file = shared.join("elsewhere.yaml");
        write(&file, "").unwrap();
        std::fs::remove_file(root.join(config::FILE)).unwrap();
        std::os::unix::fs::symlink(&file, root.join(config::FILE)).unwrap();
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert!(Repo::open(&root).is_ok());
        set(&file, 0o666);
        assert!(Repo::open(&root).is_err());
        set(&file, 0o644);
        // Who may rename it puts another one there, or another link that leads to it.
        let between = dir.path().join("between");
        create_dir(&between).unwrap();
        std::os::unix::fs::symlink(&file, between.join("current")).unwrap();
        std::fs::remove_file(root.join(config::FILE)).unwrap();
        std::os::unix::fs::symlink(between.join("current"), root.join(config::FILE)).unwrap();
        for dir in [&shared, &between] {
            set(dir, 0o777);
            assert!(Repo::open(&root).is_err(), "{}", dir.display());
            set(dir, 0o755);
            assert!(Repo::open(&root).is_ok());
        }
    }
}
