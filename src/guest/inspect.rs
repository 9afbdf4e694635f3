//! Which operating system is on the disks, and mounting it.

use super::Guestfs;
use crate::error::{Error, Result};

/// An operating system on the disks of a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Os {
    /// The device of its root file system.
    pub root: String,
    /// The distribution, such as `debian` or `rocky`.
    pub distro: String,
    /// The major version, such as 13; 0 when unknown.
    pub major: i32,
    /// The minor version.
    pub minor: i32,
    /// The architecture, such as `x86_64`.
    pub arch: String,
    /// The package format, such as `deb` or `rpm`.
    pub package_format: String,
    /// Mount points and their devices, parents first.
    pub mountpoints: Vec<(String, String)>,
    /// The libosinfo id, such as `debian13`.
    pub osinfo: String,
    /// The name for people.
    pub product: String,
}

impl Guestfs {
    /// Inspects the disks and mounts the one operating system that is on them.
    ///
    /// # Errors
    /// When there is none, when there are several (they are listed), or when one of its file
    /// systems cannot be mounted.
    pub fn mount_root(&self) -> Result<Os> {
        let roots = self.inspect_os()?;
        let root = match roots.as_slice() {
            [root] => root.clone(),
            [] => return Err(self.none_found()),
            several => return Err(self.several_found(several)),
        };
        let mut mountpoints = pairs(&self.inspect_get_mountpoints(&root)?);
        mountpoints.sort_by_key(|(at, _)| (at.len(), at.clone()));
        for (at, device) in &mountpoints {
            self.mount(device, at)?;
        }
        Ok(Os {
            distro: self.inspect_get_distro(&root)?,
            major: self.inspect_get_major_version(&root)?,
            minor: self.inspect_get_minor_version(&root)?,
            arch: self.inspect_get_arch(&root)?,
            package_format: self.inspect_get_package_format(&root)?,
            osinfo: self.inspect_get_osinfo(&root)?,
            product: self.inspect_get_product_name(&root)?,
            mountpoints,
            root,
        })
    }

    fn none_found(&self) -> Error {
        let systems = pairs(&self.list_filesystems().unwrap_or_default());
        let seen = systems
            .iter()
            .map(|(device, kind)| format!("{device}: {kind}"));
        Error::stage("no operating system was found on the disk")
            .cause(match systems.is_empty() {
                true => "the disk has no file systems",
                false => "none of its file systems has the files of one",
            })
            .evidence(seen)
            .hint("`imgforge doctor` tests libguestfs; an installation that ended early leaves such a disk")
    }

    fn several_found(&self, roots: &[String]) -> Error {
        let named = roots.iter().map(|root| {
            let name = self.inspect_get_product_name(root).unwrap_or_default();
            format!("{root}: {name}")
        });
        Error::stage(format!(
            "{} operating systems were found on the disk, and an image has one",
            roots.len()
        ))
        .evidence(named)
        .hint("remove the file systems that do not belong to the image")
    }
}

/// Keys and values of a list that has them in turn.
fn pairs(list: &[String]) -> Vec<(String, String)> {
    list.chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}
