//! Which operating system is on the disks, and mounting it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use super::Guestfs;
use super::btrfs::Listed;
use super::roots::Roots;
use crate::error::{Context as _, Error, Result};

/// An operating system on the disks of a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Every file system of the session and its type, at the time of mounting: asking takes
    /// seconds without hardware acceleration.
    #[serde(skip)]
    pub filesystems: Vec<(String, String)>,
    /// What fstab names and is not mounted, and what no line names; a sentence each.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// The type of encrypted devices.
const LUKS: &str = "crypto_LUKS";

const KEY_HINT: &str = "`disk seal --luks-key` names a file with the passphrase; in a recipe it is one of the `secrets`";

/// A passphrase or key of encrypted volumes; never printed.
#[derive(Clone)]
pub struct Key(Vec<u8>);

/// Where a key is in the appliance while it is tried.
const KEY: &str = "/run/imgforge-key";

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Key(bytes.into())
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Guestfs {
    /// Inspects the disks and mounts the one operating system that is on them.
    ///
    /// # Errors
    /// When there is none, when there are several (they are listed), or when one of its file
    /// systems cannot be mounted.
    pub fn mount_root(&self) -> Result<Os> {
        let listed = self.listed()?;
        let found = self.roots(&listed)?;
        self.mount_found(&found, &listed)
    }

    /// As [`Guestfs::mount_root`], of what [`Guestfs::roots`] has found among the file systems
    /// `listed`: to look for either again takes as long.
    ///
    /// # Errors
    /// As [`Guestfs::mount_root`].
    pub(crate) fn mount_found(&self, found: &Roots, listed: &Listed) -> Result<Os> {
        match found.roots.as_slice() {
            [root] => {
                let mut os = self.mount_listed(root, &listed.systems)?;
                os.notes.extend(found.note());
                Ok(os)
            }
            [] => Err(self.none_found()),
            several => Err(self.several_found(several)),
        }
    }

    /// Mounts the operating system that was found on these very disks before, without looking for
    /// it again.
    ///
    /// # Errors
    /// As [`Guestfs::mount_root`].
    pub fn mount_known(&self, os: &Os) -> Result<()> {
        if self.mount_again(os).is_ok() && !os.mountpoints.is_empty() {
            return Ok(());
        }
        self.umount_all()?;
        self.mount_root().map(drop)
    }

    /// Where in the file system or subvolume `outer` the subvolume `inner` is, if it is there.
    pub(crate) fn within<'a>(&self, outer: &str, inner: &'a str) -> Result<Option<&'a str>> {
        if outer.starts_with(SUBVOLUME) || !inner.starts_with(SUBVOLUME) {
            return Ok(within(outer, inner));
        }
        // Subvolumes are named as the appliance's kernel calls their disk, unlike the disk itself.
        if self.vfs_uuid(outer)? != self.vfs_uuid(inner)? {
            return Ok(None);
        }
        let behind = behind_disk(inner);
        let path = behind.find('/').map(|at| &behind[at..]);
        Ok(within(outer, inner).or(path))
    }

    /// Opens the encrypted (LUKS) volumes of the disks, before [`Guestfs::mount_root`]. They pass
    /// discards on, so that they can be trimmed. Returns the volumes that none of the keys opens,
    /// which stay closed: a machine may have more than it boots from.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn unlock(&self, keys: &[Key]) -> Result<Vec<String>> {
        // What an opened volume holds may be encrypted, too.
        loop {
            let (any, closed) = self.unlock_once(keys)?;
            if !any {
                return Ok(closed);
            }
            self.lvm_scan(true)?;
        }
    }

    /// Opens the encrypted volumes that are seen; whether one was opened, and those that were not.
    fn unlock_once(&self, keys: &[Key]) -> Result<(bool, Vec<String>)> {
        let open = self.list_dm_devices()?;
        let (mut any, mut closed) = (false, vec![]);
        for device in self.locked()? {
            let uuid = self.vfs_uuid(&device)?;
            // Whoever wrote the header chose it, and it gets into a line of a shell.
            if uuid::Uuid::parse_str(&uuid).is_err() {
                closed.push(device);
                continue;
            }
            if open.contains(&format!("/dev/mapper/luks-{uuid}")) {
                continue;
            }
            let mut opened = false;
            for key in keys {
                opened = opened || self.open(&uuid, key)?;
            }
            any |= opened;
            if !opened {
                closed.push(device);
            }
        }
        Ok((any, closed))
    }

    /// libguestfs' own call does not let discards through. The shell of the appliance does not
    /// know libguestfs' names of devices, hence the UUID. The key is in no line: libguestfs may
    /// have been told to write every line down. Returns whether the key is one of the volume's.
    fn open(&self, uuid: &str, Key(bytes): &Key) -> Result<bool> {
        let doing = || "handing the key over".to_owned();
        let memory = rustix::fs::memfd_create("key", rustix::fs::MemfdFlags::CLOEXEC);
        let mut memory = File::from(memory.map_err(std::io::Error::from).doing(doing)?);
        memory.write_all(bytes).doing(doing)?;
        let from = format!("/proc/self/fd/{}", memory.as_raw_fd());
        self.hand_over(Path::new(&from), KEY, 0o600)?;
        let line = format!(
            "cryptsetup open --allow-discards --key-file={KEY} 'UUID={uuid}' 'luks-{uuid}' 2>&1; \
             opened=$?; rm -f {KEY}; udevadm settle; echo \"exit code $opened\""
        );
        is_key(&self.debug("sh", &[&line])?)
    }

    /// Waits until udev has looked at every device that was written.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn settle(&self) -> Result<()> {
        self.debug("sh", &["udevadm settle"]).map(drop)
    }

    /// The encrypted devices. libguestfs does not count them as file systems.
    fn locked(&self) -> Result<Vec<String>> {
        let mut devices = self.list_devices()?;
        devices.extend(self.list_partitions()?);
        if self.feature_available(&["lvm2"])? {
            devices.extend(self.lvs()?);
        }
        // A disk with partitions, or an empty one, has no type.
        let is_locked = |device: &String| self.vfs_type(device).is_ok_and(|kind| kind == LUKS);
        Ok(devices.into_iter().filter(is_locked).collect())
    }

    fn none_found(&self) -> Error {
        let systems = pairs(&self.list_filesystems().unwrap_or_default());
        let seen = systems
            .iter()
            .map(|(device, kind)| format!("{device}: {kind}"));
        let locked = self.locked().is_ok_and(|locked| !locked.is_empty());
        let what = "no operating system was found on the disk";
        let error = match locked {
            true => Error::usage(what),
            false => Error::stage(what),
        };
        error
            .cause(match systems.is_empty() {
                _ if locked => "a part of the disk is encrypted, and no key opens it",
                true => "the disk has no file systems",
                false => "none of its file systems has the files of one",
            })
            .evidence(seen)
            .hint(match locked {
                true => KEY_HINT,
                false => "`imgforge doctor` tests libguestfs; an installation that ended early leaves such a disk",
            })
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
        .hint(
            "remove what does not belong to the image, on a copy: `sfdisk --delete COPY NUMBER` \
             or `virt-resize --delete PARTITION DISK COPY`",
        )
    }

    /// Whether the guest's own programs can run in the appliance.
    pub fn runs_programs_of(&self, os: &Os) -> bool {
        os.arch == std::env::consts::ARCH
    }

    /// Mounts again what [`Guestfs::mount_os`] had mounted.
    ///
    /// # Errors
    /// When one of the file systems cannot be mounted.
    pub fn mount_again(&self, os: &Os) -> Result<()> {
        os.mountpoints
            .iter()
            .try_for_each(|(at, device)| self.mount(device, at))
            .doing(|| "mounting the file systems again".into())
    }
}

/// Whether a key opened its volume, by what cryptsetup said and its exit code, which comes last:
/// 2 is a wrong key, 1 none at all, and everything else (3: too little memory, 5: busy) no answer.
fn is_key(output: &str) -> Result<bool> {
    let mut lines: Vec<&str> = output.lines().collect();
    match lines.pop().and_then(|last| last.strip_prefix("exit code ")) {
        Some("0") => Ok(true),
        Some("1" | "2") => Ok(false),
        code => Err(Error::stage(format!(
            "an encrypted volume could not be opened: cryptsetup ended with exit code {}",
            code.unwrap_or("unknown")
        ))
        .evidence(lines)),
    }
}

/// How libguestfs' names of btrfs' subvolumes begin; device and path follow.
pub(crate) const SUBVOLUME: &str = "btrfsvol:";

/// Where in the file system or subvolume `outer` the subvolume `inner` is.
fn within<'a>(outer: &str, inner: &'a str) -> Option<&'a str> {
    let outer = outer.strip_prefix(SUBVOLUME).unwrap_or(outer);
    let path = inner.strip_prefix(SUBVOLUME)?.strip_prefix(outer)?;
    path.starts_with('/').then_some(path)
}

/// What follows the disk in a subvolume's name: partition and path.
pub(super) fn behind_disk(name: &str) -> &str {
    let disk = name
        .trim_start_matches(SUBVOLUME)
        .trim_start_matches("/dev/");
    disk.trim_start_matches(|c: char| c.is_ascii_lowercase())
}

/// Keys and values of a list that has them in turn.
pub(crate) fn pairs(list: &[String]) -> Vec<(String, String)> {
    list.chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_key_is_one() {
        assert!(is_key("exit code 0\n").unwrap());
        assert!(!is_key("No key available with this passphrase.\nexit code 2\n").unwrap());
        let busy = is_key("Device luks-1 is in use.\nexit code 5\n").unwrap_err();
        assert!(busy.to_string().contains("exit code 5"));
        assert!(is_key("").is_err());
    }

    #[test]
    fn subvolumes_are_known_by_their_names() {
        let [disk, root] = ["/dev/sda1", "btrfsvol:/dev/sda1/root"];
        assert_eq!(within(disk, root), Some("/root"));
        assert_eq!(
            within(root, "btrfsvol:/dev/sda1/root/var/lib"),
            Some("/var/lib")
        );
        assert_eq!(within(root, "btrfsvol:/dev/sda1/root2"), None);
        assert_eq!(within(root, root), None);
        assert_eq!(within(disk, disk), None);
        assert_eq!(within(disk, "btrfsvol:/dev/sda11/root"), None);
        assert_eq!(behind_disk(root), behind_disk("btrfsvol:/dev/sdb1/root"));
        assert_ne!(behind_disk(root), behind_disk("btrfsvol:/dev/sdb2/root"));
    }
}
