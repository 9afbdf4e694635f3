use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::devices(
    "lvm-uuids",
    "Give LVM new UUIDs",
    "Gives physical volumes and volume groups of LVM new UUIDs, so that two clones' disks can \
     be attached to one machine. Machines find their volumes by name; a group that GRUB is \
     started from keeps its UUID, by which GRUB finds itself.",
    run,
);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let guest = root.guest;
    if !guest.feature_available(&["lvm2"])? {
        return Ok(());
    }
    let (volumes, groups) = (guest.pvs()?, guest.vgs()?);
    if volumes.is_empty() && groups.is_empty() {
        return Ok(());
    }
    let kept = group_of_grub(root)?;
    let mut closed = false;
    // While udev reads a volume, it is in use.
    guest.settle()?;
    if guest.vg_activate_all(false).is_err() {
        // An encrypted volume on top of LVM holds it.
        for device in guest.list_dm_devices()? {
            if device.starts_with("/dev/mapper/luks-") {
                // One below LVM is in use and stays open.
                closed |= guest.cryptsetup_close(&device).is_ok();
            }
        }
        guest.vg_activate_all(false)?;
    }
    if !volumes.is_empty() {
        guest.pvchange_uuid_all()?;
    }
    for group in groups.iter().filter(|group| Some(*group) != kept.as_ref()) {
        guest.vgchange_uuid(group)?;
    }
    guest.vg_activate_all(true)?;
    if closed {
        guest.unlock(root.luks_keys).map(drop)?;
    }
    root.notes.extend(kept.map(|group| {
        format!("the volume group {group} keeps its UUID, as GRUB is started from it")
    }));
    Ok(())
}

/// The group whose logical volume holds GRUB's files, which its core image finds by the group's
/// UUID; nothing is mounted.
fn group_of_grub(root: &GuestRoot<'_>) -> Result<Option<String>> {
    let guest = root.guest;
    let device = |at: &str| {
        let mut points = root.os.mountpoints.iter();
        points
            .find(|(point, _)| point == at)
            .map(|(_, device)| device.as_str())
    };
    let (device, dir) = match (device("/boot"), device("/")) {
        (Some(boot), _) => (boot, "/"),
        (None, Some(root)) => (root, "/boot/"),
        (None, None) => return Ok(None),
    };
    if !guest.lvs()?.iter().any(|volume| volume == device) {
        return Ok(None);
    }
    guest.mount_ro(device, "/")?;
    let has = |name: &str| guest.is_dir(&format!("{dir}{name}"));
    let found = has("grub")? || has("grub2")?;
    guest.umount_all()?;
    // `/dev/GROUP/VOLUME`
    let group = device.split('/').nth(2).filter(|_| found);
    Ok(group.map(str::to_owned))
}
