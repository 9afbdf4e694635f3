//! Which of the systems that inspection finds are systems, and which are snapshots of one.

use super::btrfs::Listed;
use super::inspect::behind_disk;
use super::{Guestfs, SUBVOLUME};
use crate::error::Result;
use crate::fstab;

/// What inspection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roots {
    /// Root file systems.
    pub(crate) roots: Vec<String>,
    /// Older states of the root.
    snapshots: Vec<String>,
}

impl Roots {
    /// What is to be said of snapshots.
    pub(super) fn note(&self) -> Option<String> {
        let names: Vec<&str> = self.snapshots.iter().map(|name| shown(name)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "snapshots of the root keep what they hold, and so do clones of the image: {}",
                names.join(", ")
            )
        })
    }
}

impl Guestfs {
    /// Looks for operating systems on the file systems `listed`. Of a btrfs that has snapshots of its root, and of logical
    /// volumes that have, only the root counts.
    pub(crate) fn roots(&self, listed: &Listed) -> Result<Roots> {
        let mut found = self.inspect_os()?;
        found.retain(|root| !listed.again.contains(root));
        let mut roots = found.clone();
        if roots.len() > 1 {
            self.without_lvm_snapshots(&mut roots)?;
        }
        if roots.len() > 1
            && let Some(root) = self.one_of_btrfs(&roots)?
        {
            roots = vec![root];
        }
        let snapshots = found
            .into_iter()
            .filter(|name| !roots.contains(name))
            .collect();
        Ok(Roots { roots, snapshots })
    }

    fn without_lvm_snapshots(&self, roots: &mut Vec<String>) -> Result<()> {
        let volumes = self.lvs()?;
        if !roots.iter().any(|root| volumes.contains(root)) {
            return Ok(());
        }
        let listed = self.debug("sh", &["lvm lvs --noheadings -o lv_path -S 'origin!=\"\"'"])?;
        let snapshots: Vec<&str> = listed.split_whitespace().collect();
        roots.retain(|root| !snapshots.contains(&root.as_str()));
        Ok(())
    }

    /// The root among subvolumes of one btrfs: the one that is mounted where none is named, that
    /// names itself in its fstab, or that is no snapshot.
    fn one_of_btrfs(&self, roots: &[String]) -> Result<Option<String>> {
        let parts: Vec<(&str, &str)> = roots.iter().filter_map(|root| part(root)).collect();
        let [(device, _), ..] = parts.as_slice() else {
            return Ok(None);
        };
        let elsewhere = parts.iter().any(|(other, _)| other != device);
        let subvolumes = parts.iter().any(|(_, path)| !path.is_empty());
        if elsewhere || !subvolumes || parts.len() != roots.len() {
            return Ok(None);
        }
        let only = |is: &dyn Fn(&str) -> Result<bool>| -> Result<Option<String>> {
            let mut left = vec![];
            for (root, (_, path)) in roots.iter().zip(&parts) {
                if is(path)? {
                    left.push(root.clone());
                }
            }
            Ok((left.len() == 1).then(|| left.remove(0)))
        };
        let (default, snapshots) = self.told_by_btrfs(&roots[0])?;
        if let Some(root) = only(&|path| Ok(path.is_empty() || default == path))? {
            return Ok(Some(root));
        }
        let mut naming = vec![];
        for (root, (_, path)) in roots.iter().zip(&parts) {
            if self.names_itself(root, path)? {
                naming.push(*path);
            }
        }
        match only(&|path| Ok(naming.contains(&path)))? {
            Some(root) => Ok(Some(root)),
            None => only(&|path| Ok(!snapshots.iter().any(|snapshot| snapshot == path))),
        }
    }

    /// Of the file system of a root: the path of the default subvolume, and those of snapshots.
    fn told_by_btrfs(&self, root: &str) -> Result<(String, Vec<String>)> {
        self.mount_ro(root, "/")?;
        let line = "btrfs subvolume get-default /sysroot && btrfs subvolume list -s /sysroot";
        let output = self.debug("sh", &[line]);
        self.umount_all()?;
        let output = output?;
        let path = |line: &str| line.split_once(" path ").map(|(_, path)| path.to_owned());
        let mut lines = output.lines();
        let default = lines.next().and_then(path).unwrap_or_default();
        Ok((default, lines.filter_map(path).collect()))
    }

    /// Whether the fstab of a subvolume mounts this very one as the root.
    fn names_itself(&self, root: &str, path: &str) -> Result<bool> {
        self.mount_ro(root, "/")?;
        let text = match self.is_file("/etc/fstab")? {
            true => self.read_file("/etc/fstab")?,
            false => vec![],
        };
        self.umount_all()?;
        let lines = fstab::parse(&String::from_utf8_lossy(&text));
        let line = lines.iter().find(|line| line.at.as_deref() == Some("/"));
        let named = line.and_then(|line| line.option("subvol"));
        Ok(named.is_some_and(|named| named.trim_matches('/') == path))
    }
}

/// Partition and path of a subvolume; the file system itself, which stands for the one that is
/// mounted where none is named, has an empty path.
fn part(name: &str) -> Option<(&str, &str)> {
    let behind = behind_disk(name);
    match name.starts_with(SUBVOLUME) {
        true => behind.split_once('/'),
        false => (!behind.contains('/')).then_some((behind, "")),
    }
}

/// A name for people.
fn shown(name: &str) -> &str {
    let path = part(name).map_or("", |(_, path)| path);
    if path.is_empty() { name } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subvolume_has_a_partition_and_a_path() {
        for (name, expected) in [
            (
                "btrfsvol:/dev/sdb1/@/.snapshots/2/snapshot",
                Some(("1", "@/.snapshots/2/snapshot")),
            ),
            ("/dev/sda1", Some(("1", ""))),
            ("btrfsvol:/dev/sda/root", Some(("", "root"))),
            ("/dev/sda", Some(("", ""))),
            ("/dev/vg/root", None),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
        assert_eq!(shown("btrfsvol:/dev/sdb1/a/b"), "a/b");
        assert_eq!(shown("/dev/vg/snap"), "/dev/vg/snap");
    }
}
