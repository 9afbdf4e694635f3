//! Gives physical volumes and volume groups of LVM new UUIDs, so that two clones' disks can be
//! attached to one machine. Machines find their volumes by name.

use crate::error::Result;
use crate::sysprep::{Operation, Run, Site};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "lvm-uuids",
    heading: "Give LVM new UUIDs",
    default: true,
    doc: "Gives physical volumes and volume groups of LVM new UUIDs, so that two clones' disks can be attached to one machine. Machines find their volumes by name.",
    run: Run::Devices(run),
};

fn run(site: &mut Site<'_>) -> Result<()> {
    let guest = site.guest;
    if !guest.feature_available(&["lvm2"])? {
        return Ok(());
    }
    let (volumes, groups) = (!guest.pvs()?.is_empty(), !guest.vgs()?.is_empty());
    if !volumes && !groups {
        return Ok(());
    }
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
    if volumes {
        guest.pvchange_uuid_all()?;
    }
    if groups {
        guest.vgchange_uuid_all()?;
    }
    guest.vg_activate_all(true)?;
    if closed {
        guest.unlock(site.luks_keys)?;
    }
    Ok(())
}
