//! Gives the blocks that nothing uses back, so that they read as zeroes.

mod lvm;
mod swap;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::guest::{Guestfs, Os, SUBVOLUME};
use crate::host::interrupt;

/// The cluster size, in bytes, that the overlay to be sealed needs (`qemu-img create -o
/// cluster_size=4096`). With QEMU's usual 64 KiB, what was removed stays readable beside files
/// that stay: a discard smaller than a cluster does nothing.
pub const OVERLAY_CLUSTER: u64 = 4096;

/// How the free blocks of a file system became zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
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
    pub how: How,
}

/// What was given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given {
    /// The file systems.
    pub filesystems: Vec<Trimmed>,
    /// Swap partitions and files that were emptied but for their header.
    pub swaps: Vec<String>,
    /// Volume groups whose free space was given back.
    pub groups: Vec<String>,
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
pub(super) fn trim(guest: &Guestfs, os: &Os) -> Result<Given> {
    let mounted = mounted(guest, os)?;
    let mut given = Given::default();
    let files = swap::empty_files(guest)?;
    // Blocks of removed files are free for discarding only once the journal is written.
    guest.sync()?;
    for (at, _) in &mounted {
        given.filesystems.push(trim_one(guest, at, at)?);
    }
    for file in files {
        swap::restore(guest, &file)?;
        given.swaps.push(file.path);
    }
    let systems = &os.filesystems;
    for (device, _) in systems.iter().filter(|(_, kind)| kind == "swap") {
        swap::partition(guest, device)?;
        given.swaps.push(device.clone());
    }
    given.groups = lvm::free_space(guest)?;
    let others = systems.iter().filter(|(device, kind)| {
        let skipped = matches!(kind.as_str(), "swap" | "unknown");
        let part = device.starts_with(SUBVOLUME);
        !skipped && !part && !mounted.iter().any(|(_, mounted)| mounted == device)
    });
    let others: Vec<&str> = others.map(|(device, _)| device.as_str()).collect();
    if !others.is_empty() {
        given.filesystems.extend(unmounted(guest, &others)?);
        guest.mount_again(os)?;
    }
    guest.sync()?;
    Ok(given)
}

/// File systems that no fstab names may hold removed files all the same.
fn unmounted(guest: &Guestfs, devices: &[&str]) -> Result<Vec<Trimmed>> {
    let mut all = Vec::new();
    for device in devices {
        guest.umount_all()?;
        match guest.mount(device, "/") {
            Ok(()) => all.push(trim_one(guest, "/", device)?),
            Err(_) => all.push(Trimmed {
                at: (*device).to_owned(),
                used: 0,
                total: 0,
                how: How::Untouched,
            }),
        }
    }
    guest.umount_all()?;
    Ok(all)
}

/// Fills the free space with zeroes.
fn fill(guest: &Guestfs, at: &str) -> Result<()> {
    // ext4 keeps clusters back for itself, of which a file gets none. Other file systems have no
    // such setting.
    let give = "for kept in /sys/fs/ext4/*/reserved_clusters; do echo 0 >$kept; done";
    drop(guest.debug("sh", &[give]));
    guest.zero_free_space(at)
}

fn trim_one(guest: &Guestfs, at: &str, name: &str) -> Result<Trimmed> {
    // Smaller blocks than the overlay's clusters cannot be discarded one by one. Only small file
    // systems have them, so zeroes are cheap.
    let fine = guest.statvfs(at)?.block >= OVERLAY_CLUSTER;
    let zeroed = !fine && fill(guest, at).is_ok();
    let how = match guest.fstrim(at) {
        Ok(()) => How::Discarded,
        Err(_) if zeroed || fill(guest, at).is_ok() => How::Zeroed,
        Err(_) => How::Untouched,
    };
    interrupt::check()?;
    let space = guest.statvfs(at)?;
    Ok(Trimmed {
        at: name.to_owned(),
        used: space.total - space.free,
        total: space.total,
        how,
    })
}
