//! File systems that imgforge does not read itself, packed by an appliance into a stream.

use std::path::Path;

use super::at::OfAppliance;
use super::devices::{self, Device};
use super::fat;
use super::parts::Volume;
use crate::error::{Error, Result};
use crate::guest::{Drive, Guestfs, Launch, SUBVOLUME};
use crate::host::interrupt;
use crate::scan::{Host, Scanner};

/// Shows every file of the disk to the scanner.
pub(super) fn read(
    raw: &Path,
    volumes: &[Volume],
    scanner: &mut Scanner<'_>,
    host: &Host<'_>,
) -> Result<()> {
    host.ui.step("opening the disk in an appliance");
    let launch = Launch {
        drives: &[Drive::readonly(raw, "raw")],
        accel: host.accel,
        ui: Some(host.ui),
    };
    let guest = Guestfs::launch_unlocked(&launch, scanner.luks_keys())?;
    let extra = devices::prepare(&guest, scanner)?;
    let listed = guest.listed()?;
    let mut systems = listed.systems.clone();
    for device in extra {
        if !systems.iter().any(|(name, _)| *name == device) {
            let kind = guest.vfs_type(&device).unwrap_or_default();
            systems.push((device, kind));
        }
    }
    let mut seen = vec![];
    let found = guest.roots(&listed)?;
    if found.roots.len() == 1 {
        match guest.mount_found(&found, &listed) {
            Ok(os) => {
                packed(&guest, "/", &[], scanner)?;
                seen.extend(os.mountpoints.into_iter().map(|(_, device)| device));
            }
            // Each by itself, then; what cannot be mounted is told there.
            Err(error) => host.ui.line(error.render()),
        }
        guest.umount_all()?;
    }
    let known = each(&guest, &systems, &seen, scanner)?;
    fats(&guest, &systems, scanner)?;
    devices::account(&guest, raw, volumes, &known, scanner)?;
    guest.close()
}

/// What holds no files that could be read; [`devices::account`] looks at these.
const NO_FILES: [&str; 2] = ["swap", "unknown"];

/// What blkid(8) calls FAT of any size.
const FAT: &str = "vfat";

/// Every file system and subvolume that has not been `seen`, by itself: nothing says where its
/// files belong. Returns the devices of which all is told now.
fn each(
    guest: &Guestfs,
    systems: &[(String, String)],
    seen: &[String],
    scanner: &mut Scanner<'_>,
) -> Result<Vec<String>> {
    let mut known = vec![];
    for (name, kind) in systems {
        if kind.is_empty() || NO_FILES.contains(&kind.as_str()) {
            continue;
        }
        if !name.starts_with(SUBVOLUME) {
            known.push(name.clone());
        }
        if is_seen(guest, seen, name)? {
            continue;
        }
        scanner.enter(&format!("/({})", shown(guest, systems, name)?));
        let mounted = if kind == "btrfs" && !name.starts_with(SUBVOLUME) {
            // The whole, and not the subvolume that is mounted where none is named.
            guest.mount_options("ro,subvolid=5", name, "/")
        } else {
            guest.mount_ro(name, "/")
        };
        if let Err(error) = mounted {
            interrupt::check()?;
            scanner.unsearched(
                "/",
                format!("its {kind} cannot be mounted: {}", innermost_cause(&error)),
            );
            continue;
        }
        let mut others = vec![];
        for (other, _) in systems {
            others.extend(guest.within(name, other)?.map(|path| format!(".{path}")));
        }
        packed(guest, "/", &others, scanner)?;
        guest.umount_all()?;
    }
    scanner.enter("");
    Ok(known)
}

/// What the appliance's kernel passes over in silence, wherever a FAT lies: in a partition, a RAID,
/// a volume of LVM, or behind a key.
fn fats(guest: &Guestfs, systems: &[(String, String)], scanner: &mut Scanner<'_>) -> Result<()> {
    for (name, _) in systems.iter().filter(|(_, kind)| kind == FAT) {
        let place = match Device::of(guest, name)? {
            Device::Partition(number) => format!("/(partition {number})"),
            Device::Disk | Device::Upper(_) => format!("/({name})"),
        };
        scanner.enter(&place);
        fat::account(
            &OfAppliance {
                guest,
                device: name,
            },
            scanner,
        )?;
    }
    scanner.enter("");
    Ok(())
}

/// The innermost reason of an error.
fn innermost_cause(error: &Error) -> String {
    let causes = error.causes().last();
    causes.map_or_else(|| error.message().to_owned(), Clone::clone)
}

fn is_seen(guest: &Guestfs, seen: &[String], name: &str) -> Result<bool> {
    for other in seen {
        if other == name || guest.within(other, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name for people: of a subvolume, its disk's with its path.
fn shown(guest: &Guestfs, systems: &[(String, String)], name: &str) -> Result<String> {
    for (whole, _) in systems
        .iter()
        .filter(|(other, _)| !other.starts_with(SUBVOLUME))
    {
        if let Some(path) = guest.within(whole, name)? {
            return Ok(format!("{whole}{path}"));
        }
    }
    Ok(name.to_owned())
}

/// Shows what is mounted to the scanner, without the subvolumes `others`.
fn packed(guest: &Guestfs, at: &str, others: &[String], scanner: &mut Scanner<'_>) -> Result<()> {
    let shown = &mut *scanner;
    let (_, written) = guest.packed("/", others, move |archive| super::tar(archive, shown))?;
    if let Err(error) = written {
        // tar(1) goes on behind what it cannot read, and says so at its end.
        scanner.unsearched(
            at,
            format!("not all of it could be read: {}", innermost_cause(&error)),
        );
    }
    Ok(())
}
