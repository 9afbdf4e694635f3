//! Gives the space of LVM back that no volume has.

use crate::error::Result;
use crate::guest::Guestfs;

/// A volume for a moment: free extents can be discarded only as one.
const VOLUME: &str = "imgforge-free-space";

/// Returns the groups that had free space.
pub(super) fn free_space(guest: &Guestfs) -> Result<Vec<String>> {
    if !guest.feature_available(&["lvm2"])? {
        return Ok(vec![]);
    }
    let mut groups = Vec::new();
    for group in guest.vgs()? {
        // It fails when nothing is free.
        if guest.lvcreate_free(VOLUME, &group, 100).is_err() {
            continue;
        }
        let device = format!("/dev/{group}/{VOLUME}");
        let emptied = match guest.blkdiscard(&device) {
            Ok(()) => Ok(()),
            Err(_) => guest.zero_device(&device),
        };
        // udev looks at what was written, and a volume that somebody reads cannot be removed.
        guest.settle()?;
        guest.lvremove(&device)?;
        emptied?;
        groups.push(group);
    }
    Ok(groups)
}
