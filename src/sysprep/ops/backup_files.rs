use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "backup-files",
    "Remove editor backups",
    "Removes `*~` and `*.bak` files in `/etc`, `/root`, `/srv`, `/tmp` and `/var`.",
    run,
)
.gone(&["etc/ssh/sshd_config.bak", "srv/site/index.html~"])
.stay(&["srv/site/index.html"]);

const DIRS: &[&str] = &["/etc", "/root", "/srv", "/tmp", "/var"];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    for dir in DIRS {
        if !root.guest.is_dir(dir)? {
            continue;
        }
        for name in root.guest.find(dir)? {
            let path = format!("{dir}/{name}");
            // A directory of that name is somebody's data, not an editor's.
            if is_backup(&name) && root.is_regular(&path)? {
                root.remove_path(&path)?;
            }
        }
    }
    Ok(())
}

fn is_backup(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    [".bak", "~"].iter().any(|end| base.ends_with(end))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_backup_is_known_by_its_name() {
        for (name, backup) in [
            ("ssh/sshd_config.bak", true),
            ("fstab~", true),
            ("~", true),
            ("a/.bak", true),
            ("backup.bak.d/file", false),
        ] {
            assert_eq!(super::is_backup(name), backup, "{name}");
        }
    }
}
