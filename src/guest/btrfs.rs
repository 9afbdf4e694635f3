//! A btrfs of several devices is one file system, which libguestfs lists once for each of them.

use std::collections::{BTreeMap, BTreeSet};

use super::inspect::pairs;
use super::{Guestfs, SUBVOLUME};
use crate::error::Result;

/// The file systems of a session.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Names and types; each file system and subvolume once.
    pub(crate) systems: Vec<(String, String)>,
    /// Other names of those, by further devices.
    pub(super) again: Vec<String>,
}

/// A device with a btrfs.
#[derive(Debug, Clone)]
struct Device {
    name: String,
    /// That of the file system.
    uuid: String,
    /// Its own.
    part: String,
}

impl Guestfs {
    /// Lists every file system and subvolume once.
    pub(crate) fn listed(&self) -> Result<Listed> {
        let systems = pairs(&self.list_filesystems()?);
        let is_whole = |name: &str, kind: &str| kind == "btrfs" && !name.starts_with(SUBVOLUME);
        let wholes = systems.iter().filter(|(name, kind)| is_whole(name, kind));
        if wholes.clone().count() < 2 {
            return Ok(Listed {
                systems,
                again: vec![],
            });
        }
        let mut devices = vec![];
        for (name, _) in wholes {
            let all = pairs(&self.blkid(name).unwrap_or_default());
            let tag = |tag: &str| {
                let mut tags = all.iter().filter(|(name, _)| name == tag);
                tags.next().map(|(_, value)| value.clone())
            };
            if let (Some(uuid), Some(part)) = (tag("UUID"), tag("UUID_SUB")) {
                let name = name.clone();
                devices.push(Device { name, uuid, part });
            }
        }
        let further = further(&devices);
        let (mut listed, mut paths) = (Listed::default(), BTreeSet::new());
        for (name, kind) in systems {
            match self.is_again(&name, &further, &mut paths)? {
                true => listed.again.push(name),
                false => listed.systems.push((name, kind)),
            }
        }
        Ok(listed)
    }

    /// Whether a name is of a further device; `paths` are those of the subvolumes before it.
    fn is_again(
        &self,
        name: &str,
        further: &BTreeMap<&str, &Device>,
        paths: &mut BTreeSet<(String, String)>,
    ) -> Result<bool> {
        if further.contains_key(name) {
            return Ok(true);
        }
        if further.is_empty() || !name.starts_with(SUBVOLUME) {
            return Ok(false);
        }
        let uuid = self.vfs_uuid(name)?;
        for (device, first) in further.iter().filter(|(_, first)| first.uuid == uuid) {
            let of_device = name.strip_prefix(SUBVOLUME).unwrap_or(name);
            let of_device = of_device.strip_prefix(device);
            if of_device.is_some_and(|path| path.starts_with('/')) {
                return Ok(true);
            }
            // The appliance's kernel may call the disk otherwise.
            if let Some(path) = self.within(&first.name, name)? {
                return Ok(!paths.insert((uuid, path.to_owned())));
            }
        }
        Ok(false)
    }
}

/// The devices that are further ones of a btrfs, and the first of each. A copy of a device, with the
/// same UUID of its own, is none.
fn further(devices: &[Device]) -> BTreeMap<&str, &Device> {
    let mut further = BTreeMap::new();
    for (at, device) in devices.iter().enumerate() {
        let mut before = devices[..at]
            .iter()
            .filter(|other| other.uuid == device.uuid);
        if let Some(first) = before.clone().next()
            && before.all(|other| other.part != device.part)
        {
            further.insert(device.name.as_str(), first);
        }
    }
    further
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_file_system_are_told_from_copies() {
        let devices = [
            ("/dev/sda1", "1", "a"),
            ("/dev/sda2", "2", "b"),
            ("/dev/sda3", "1", "c"),
            ("/dev/sda4", "2", "b"),
            ("/dev/sda5", "1", "d"),
        ]
        .map(|(name, uuid, part)| Device {
            name: name.into(),
            uuid: uuid.into(),
            part: part.into(),
        });
        let found = further(&devices);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, first)| (*name, first.name.as_str()))
            .collect();
        assert_eq!(
            found,
            [("/dev/sda3", "/dev/sda1"), ("/dev/sda5", "/dev/sda1")]
        );
    }
}
