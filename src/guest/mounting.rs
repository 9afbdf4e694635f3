//! Mounting an operating system as it mounts itself.

use super::inspect::behind_disk;
use super::{Guestfs, Os, SUBVOLUME};
use crate::error::{Error, Result};
use crate::fstab::{FileSystem, Layout, Machine, Mount, Subvolume, kernel_name};
use crate::host::exec::quote;

/// Types of what holds no files.
const NO_FILES: [&str; 2] = ["swap", "unknown"];

impl Guestfs {
    /// Mounts the operating system whose root file system, as inspection names it, is `root`, with
    /// everything that its fstab names and the disks have, and the partitions that it mounts by
    /// their types. What cannot be mounted is in [`Os::notes`].
    ///
    /// # Errors
    /// When the root cannot be mounted or inspected.
    pub fn mount_os(&self, root: &str) -> Result<Os> {
        self.mount_listed(root, &self.listed()?.systems)
    }

    /// As [`Guestfs::mount_os`], with the file systems that are `listed`.
    pub(super) fn mount_listed(&self, root: &str, listed: &[(String, String)]) -> Result<Os> {
        let device = self.listed_as(root, listed)?;
        self.mount(&device, "/")?;
        let systems = self.systems(listed, &device)?;
        let layout = self.laid_out(&systems)?;
        let mut notes = layout.notes.clone();
        let mut mountpoints = vec![("/".to_owned(), device)];
        for mount in layout.mounts.iter().skip(1) {
            match self.mount_part(&systems[mount.system], mount, listed) {
                Ok(device) => mountpoints.push((mount.at.clone(), device)),
                Err(error) => notes.push(not_mounted(&systems[mount.system], mount, &error)),
            }
        }
        let strays = systems.iter().enumerate().filter(|(index, system)| {
            layout.at(*index).is_none()
                && !system.is_esp()
                && !NO_FILES.contains(&system.kind.as_str())
        });
        notes.extend(strays.map(|(_, system)| {
            format!(
                "no line of fstab names {}: its files are not reached",
                system.shown()
            )
        }));
        Ok(Os {
            filesystems: listed.to_vec(),
            distro: self.inspect_get_distro(root)?,
            major: self.inspect_get_major_version(root)?,
            minor: self.inspect_get_minor_version(root)?,
            arch: self.inspect_get_arch(root)?,
            package_format: self.inspect_get_package_format(root)?,
            osinfo: self.inspect_get_osinfo(root)?,
            product: self.inspect_get_product_name(root)?,
            mountpoints,
            root: root.to_owned(),
            notes,
        })
    }

    /// What is known of every whole file system; that of the root comes first.
    fn systems(&self, listed: &[(String, String)], root: &str) -> Result<Vec<FileSystem>> {
        let mut all = vec![FileSystem {
            name: root.to_owned(),
            ..FileSystem::default()
        }];
        for (name, kind) in listed
            .iter()
            .filter(|(name, _)| !name.starts_with(SUBVOLUME))
        {
            // Some file systems have nothing that blkid knows.
            let tags = self.blkid(name).unwrap_or_default();
            let tags = tags
                .chunks_exact(2)
                .map(|pair| (pair[0].as_str(), pair[1].as_str()));
            let system = FileSystem {
                name: name.clone(),
                place: kernel_name(name),
                kind: kind.clone(),
                ..FileSystem::of_blkid(tags)
            };
            match name == root || self.within(name, root)?.is_some() {
                true => all[0] = system,
                false => all.push(system),
            }
        }
        Ok(all)
    }

    /// Where the mounted root wants them.
    fn laid_out(&self, systems: &[FileSystem]) -> Result<Layout> {
        let text = |path: &str| -> Result<String> {
            let bytes = match self.is_file(path)? {
                true => self.read_file(path)?,
                false => vec![],
            };
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let machine = Machine {
            systems,
            root: 0,
            fstab: &text("/etc/fstab")?,
            crypttab: &text("/etc/crypttab")?,
        };
        Ok(machine.layout(|at| {
            let names = self
                .is_dir(at)
                .ok()
                .filter(|is| *is)
                .and_then(|_| self.ls(at).ok())?;
            Some(names.is_empty())
        }))
    }

    /// Mounts one; its name, as the session lists it.
    fn mount_part(
        &self,
        system: &FileSystem,
        mount: &Mount,
        listed: &[(String, String)],
    ) -> Result<String> {
        let path = match &mount.subvolume {
            None => None,
            Some(Subvolume::Path(path)) => Some(path.clone()),
            Some(Subvolume::Id(id)) => Some(self.subvolume(system, *id)?),
        };
        let device = match path.as_deref() {
            None | Some("") => system.name.clone(),
            Some(path) => self.listed_as(&format!("{SUBVOLUME}{}/{path}", system.name), listed)?,
        };
        // As systemd does.
        if !self.exists(&mount.at)? {
            self.mkdir_p(&mount.at)?;
        }
        self.mount(&device, &mount.at)?;
        Ok(device)
    }

    /// The path of a subvolume of the root's file system, by its number.
    fn subvolume(&self, system: &FileSystem, id: u64) -> Result<String> {
        let found = self.btrfs(system, "subvolume list")?;
        let start = format!("ID {id} ");
        let mut lines = found.lines().filter(|line| line.starts_with(&start));
        let path = lines.find_map(|line| line.split_once(" path "));
        path.map(|(_, path)| path.to_owned())
            .ok_or_else(|| Error::stage(format!("there is no subvolume {id}")))
    }

    /// What btrfs(8) says of a file system that is mounted somewhere.
    fn btrfs(&self, system: &FileSystem, words: &str) -> Result<String> {
        // The shell of the appliance has its own names of disks.
        let source = quote(&format!("UUID={}", system.uuid));
        let find = format!("findmnt -rno TARGET -S {source} | head -n 1");
        self.debug("sh", &[&format!("btrfs {words} \"$({find})\"")])
    }

    /// The name by which a file system is listed. What fstab names by UUID or label may be given as
    /// the appliance's kernel calls it, which numbers disks as it meets them.
    fn listed_as(&self, name: &str, systems: &[(String, String)]) -> Result<String> {
        if systems.iter().any(|(listed, _)| listed == name) {
            return Ok(name.to_owned());
        }
        let uuid = self.vfs_uuid(name)?;
        let is_part = name.starts_with(SUBVOLUME);
        for (listed, _) in systems {
            let alike = listed.starts_with(SUBVOLUME) == is_part
                && (!is_part || behind_disk(listed) == behind_disk(name));
            if alike && !uuid.is_empty() && self.vfs_uuid(listed)? == uuid {
                return Ok(listed.clone());
            }
        }
        Ok(name.to_owned())
    }
}

fn not_mounted(system: &FileSystem, mount: &Mount, error: &Error) -> String {
    let why = error
        .causes()
        .first()
        .map_or(error.message(), String::as_str);
    let (shown, at) = (system.shown(), &mount.at);
    format!("{shown} cannot be mounted at {at}, so its files are not reached: {why}")
}
