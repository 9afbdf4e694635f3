//! Gives the blocks that nothing uses back, so that they read as zeroes.

mod lvm;
mod preallocated;
mod swap;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::guest::{Guestfs, Os, SUBVOLUME};
use crate::host::interrupt;

/// The cluster size, in bytes, that the overlay to be sealed needs (`qemu-img create -o
/// cluster_size=4096`). With QEMU's usual 64 KiB, what was removed stays readable beside files
/// that stay: a discard smaller than a cluster does nothing.
pub const OVERLAY_CLUSTER: u64 = 4096;

/// The file systems whose files may have blocks that were never written.
const PREALLOCATING: &[&str] = &["ext4", "xfs", "btrfs", "f2fs"];

/// How the free blocks of a file system became zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimMethod {
    /// Given back to the host (fstrim).
    Discarded,
    /// Filled with zeroes, where the file system knows no discard.
    Zeroed,
    /// Neither: the file system is read-only, or unknown here.
    Untouched,
}

/// A file system after trimming; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// Where it is mounted, or its device.
    pub at: String,
    /// What files use.
    pub used: u64,
    /// Its size.
    pub total: u64,
    /// How its free blocks became zeroes.
    pub how: TrimMethod,
}

/// What was given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrimReport {
    /// The file systems.
    pub filesystems: Vec<Trimmed>,
    /// Swap partitions and files that were emptied but for their header.
    pub swaps: Vec<String>,
    /// Volume groups whose free space was given back.
    pub groups: Vec<String>,
    /// What may still hold data of before: files, or the mount point of a whole file system, with
    /// blocks that were reserved and never written.
    pub uncleared: Vec<String>,
}

/// The device of each mounted file system with one place where it is mounted: subvolumes of btrfs
/// share theirs.
pub(super) fn mounted(guest: &Guestfs, os: &Os) -> Result<Vec<(String, String)>> {
    let systems = &os.filesystems;
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (at, mountable) in &os.mountpoints {
        let mut device = mountable.clone();
        for (whole, _) in systems
            .iter()
            .filter(|(name, _)| !name.starts_with(SUBVOLUME))
        {
            if guest.within(whole, mountable)?.is_some() {
                device.clone_from(whole);
            }
        }
        if seen.insert(device.clone()) {
            all.push((at.clone(), device));
        }
    }
    Ok(all)
}

/// Trims every file system, swap space and volume group of the session; the machine is mounted
/// before and after.
pub(super) fn trim(guest: &Guestfs, os: &Os) -> Result<TrimReport> {
    let mounted = mounted(guest, os)?;
    let mut given = TrimReport::default();
    let files = swap::empty_files(guest)?;
    let mut work = Trim {
        guest,
        zerofree: guest.feature_available(&["zerofree"])?,
        zero_later: vec![],
        reserve_later: vec![],
        uncleared: vec![],
    };
    let systems = &os.filesystems;
    let mut reserved = Vec::new();
    for (at, device) in &os.mountpoints {
        reserved.extend(work.give_back(at, at, kind(systems, device))?);
    }
    // Blocks of removed files can be discarded only once the journal is written, and ext4 gives them
    // free a moment after that: a sync returns when the transaction has its number, before the
    // journal's thread has called back. Only an unmount waits for that thread.
    guest.umount_all()?;
    guest.mount_again(os)?;
    for (at, device) in &mounted {
        let kind = kind(systems, device);
        given.filesystems.push(work.one(at, at, (device, kind))?);
    }
    let others = systems.iter().filter(|(device, kind)| {
        let skipped = matches!(kind.as_str(), "swap" | "unknown");
        let part = device.starts_with(SUBVOLUME);
        !skipped && !part && !mounted.iter().any(|(_, mounted)| mounted == device)
    });
    let others: Vec<_> = others.collect();
    if !others.is_empty() || !work.zero_later.is_empty() {
        for (device, kind) in others {
            given.filesystems.push(work.unmounted(device, kind)?);
        }
        guest.umount_all()?;
        for (name, device) in std::mem::take(&mut work.zero_later) {
            let how = zero_unmounted(guest, &device)?;
            let systems = given.filesystems.iter_mut();
            systems
                .filter(|one| one.at == name)
                .for_each(|one| one.how = how);
        }
        for (device, files) in &work.reserve_later {
            guest.umount_all()?;
            guest.mount(device, "/")?;
            preallocated::reserve(guest, files)?;
        }
        guest.umount_all()?;
        guest.mount_again(os)?;
    }
    // Only now: what such a file gets back is no longer free.
    preallocated::reserve(guest, &reserved)?;
    for file in files {
        swap::restore(guest, &file)?;
        given.swaps.push(file.path);
    }
    for (device, _) in systems.iter().filter(|(_, kind)| kind == "swap") {
        swap::partition(guest, device)?;
        given.swaps.push(device.clone());
    }
    given.groups = lvm::free_space(guest)?;
    given.uncleared = work.uncleared;
    guest.sync()?;
    Ok(given)
}

/// Trimming one file system after the other.
struct Trim<'a> {
    guest: &'a Guestfs,
    /// Whether the appliance can fill free blocks of ext file systems.
    zerofree: bool,
    /// What [`Trimmed::at`] says and the device, of those whose free blocks are filled once nothing
    /// is mounted any more.
    zero_later: Vec<(String, String)>,
    /// Files that get their blocks back once nothing is filled any more, by the device that has to be
    /// mounted for it.
    reserve_later: Vec<(String, Vec<preallocated::File>)>,
    /// As [`TrimReport::uncleared`].
    uncleared: Vec<String>,
}

/// The kind of a file system, empty when it is not known.
fn kind<'a>(systems: &'a [(String, String)], device: &str) -> &'a str {
    let found = systems.iter().find(|(name, _)| name == device);
    found.map_or("", |(_, kind)| kind)
}

impl Trim<'_> {
    /// Gives the blocks back that files of the file system at `at`, called `name`, have and never
    /// wrote. They are free after the next unmount.
    fn give_back(&mut self, at: &str, name: &str, kind: &str) -> Result<Vec<preallocated::File>> {
        if !PREALLOCATING.contains(&kind) {
            return Ok(vec![]);
        }
        let Some(files) = preallocated::files(self.guest, at, kind)? else {
            self.uncleared.push(name.to_owned());
            return Ok(vec![]);
        };
        let (files, failed) = preallocated::give_back(self.guest, files)?;
        self.uncleared.extend(failed);
        Ok(files)
    }

    /// Trims what is mounted at `at`, called `name`.
    fn one(&mut self, at: &str, name: &str, (device, kind): (&str, &str)) -> Result<Trimmed> {
        let later = self.zerofree && matches!(kind, "ext2" | "ext3" | "ext4");
        // Smaller blocks than the overlay's clusters cannot be discarded one by one. Only small file
        // systems have them, so zeroes are cheap.
        let fine = self.guest.statvfs(at)?.block >= OVERLAY_CLUSTER;
        let zeroed = !later && !fine && fill(self.guest, at).is_ok();
        let how = if (fine || !later) && self.guest.fstrim(at).is_ok() {
            TrimMethod::Discarded
        } else if later {
            self.zero_later.push((name.to_owned(), device.to_owned()));
            TrimMethod::Zeroed
        } else if zeroed || fill(self.guest, at).is_ok() {
            TrimMethod::Zeroed
        } else {
            TrimMethod::Untouched
        };
        interrupt::check()?;
        let space = self.guest.statvfs(at)?;
        Ok(Trimmed {
            at: name.to_owned(),
            used: space.total - space.free,
            total: space.total,
            how,
        })
    }

    /// Trims a file system that no fstab names: it may hold removed files all the same.
    fn unmounted(&mut self, device: &str, kind: &str) -> Result<Trimmed> {
        self.guest.umount_all()?;
        if self.guest.mount(device, "/").is_ok() {
            let files = self.give_back("/", device, kind)?;
            if !files.is_empty() {
                self.guest.umount_all()?;
                self.guest.mount(device, "/")?;
                self.reserve_later.push((device.to_owned(), files));
            }
            return self.one("/", device, (device, kind));
        }
        Ok(Trimmed {
            at: device.to_owned(),
            used: 0,
            total: 0,
            how: TrimMethod::Untouched,
        })
    }
}

/// Fills the free blocks of an ext file system with zeroes, and gives them back where that is
/// possible: zeroes of an encrypted one are none on the disk. Nothing is mounted afterwards.
fn zero_unmounted(guest: &Guestfs, device: &str) -> Result<TrimMethod> {
    guest.umount_all()?;
    if guest.zerofree(device).is_err() || guest.mount(device, "/").is_err() {
        return Ok(TrimMethod::Untouched);
    }
    let how = match guest.fstrim("/") {
        Ok(()) => TrimMethod::Discarded,
        Err(_) => TrimMethod::Zeroed,
    };
    guest.umount_all()?;
    Ok(how)
}

/// Fills the free space of a mounted file system with zeroes. The list of the pieces that were
/// free remains in it.
fn fill(guest: &Guestfs, at: &str) -> Result<()> {
    // ext4 keeps clusters back for itself, of which a file gets none. Other file systems have no
    // such setting.
    let give = "for kept in /sys/fs/ext4/*/reserved_clusters; do echo 0 >$kept; done";
    drop(guest.debug("sh", &[give]));
    guest.zero_free_space(at)
}
