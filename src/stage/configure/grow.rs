//! A larger disk than the image below had: its root file system gets the rest.

use crate::error::{Error, Result};
use crate::guest::{Guestfs, Os, Partition};
use crate::recipe::Resolved;
use crate::recipe::types::{Base, Install};
use crate::ui::StageUi;
use crate::units::Size;

const SECTOR: u64 = 512;

/// Partitions end on such borders; the last one of a disk is left to the copy of a GPT. Bytes.
const BORDER: u64 = 1 << 20;

/// Whether the machine's disk may be larger than what it began with.
pub(super) fn wanted(resolved: &Resolved) -> bool {
    resolved.grows()
        || matches!(
            resolved.base,
            Base::Published(_) | Base::Install(Install::Import(_))
        )
}

/// Grows the root's partition, if it is the last one, to the end of its disk, and its file system
/// with it. The operating system is mounted, and is so afterwards.
///
/// # Errors
/// When the disk cannot be mounted again, or a partition that did grow has a file system that
/// does not.
pub(super) fn root(guest: &Guestfs, os: &Os, ui: &StageUi) -> Result<()> {
    let Some((_, mounted)) = os.mountpoints.iter().find(|(at, _)| at == "/") else {
        return Ok(());
    };
    let device = match mounted.strip_prefix("btrfsvol:") {
        Some(volume) => volume.split('/').take(3).collect::<Vec<_>>().join("/"),
        None => mounted.clone(),
    };
    guest.umount_all()?;
    let grown = partition(guest, &device);
    guest.mount_known(os)?;
    match grown {
        Ok(false) => return Ok(()),
        Ok(true) => {}
        Err(error) => {
            let causes = error.causes().iter().map(String::as_str);
            let why: Vec<&str> = std::iter::once(error.message()).chain(causes).collect();
            ui.line(format!(
                "the root keeps its size, a step may give it the rest of the disk: {}",
                why.join(": ")
            ));
            return Ok(());
        }
    }
    match guest.vfs_type(&device)?.as_str() {
        "xfs" => guest.xfs_growfs("/")?,
        "btrfs" => guest.btrfs_grow("/")?,
        _ => guest.resize2fs(&device)?,
    }
    let size = Size::bytes(guest.device_size(&device)?);
    ui.line(format!("the root's partition has {size} now"));
    Ok(())
}

/// Moves the end of the partition `device`; whether there was room.
fn partition(guest: &Guestfs, device: &str) -> Result<bool> {
    let disk = guest.part_to_dev(device)?;
    let number = guest.part_to_partnum(device)?;
    if guest.part_get_parttype(&disk)? == "gpt" {
        guest.part_expand_gpt(&disk)?;
        usual(&guest.read_device(&disk, 92, SECTOR.cast_signed())?)?;
    }
    let end = end(guest.device_size(&disk)?);
    if !room(&guest.part_list(&disk)?, number, end)? {
        return Ok(false);
    }
    guest.part_resize(&disk, number, (end / SECTOR).cast_signed())?;
    Ok(true)
}

/// Refuses the GPT with this header, if its entries stand elsewhere than in sector 2: parted, by which
/// a partition grows, would write them there, over the boot loader that they were moved for.
fn usual(header: &[u8]) -> Result<()> {
    let entries = header.get(72..80).and_then(|at| at.try_into().ok());
    match entries.map(u64::from_le_bytes) {
        None | Some(2) => Ok(()),
        Some(other) => Err(Error::stage(format!(
            "its partition table is kept at sector {other}, to leave a boot loader its place"
        ))),
    }
}

/// The last byte that a partition may have on a disk of `size` bytes.
fn end(size: u64) -> u64 {
    ((size / BORDER).saturating_sub(1) * BORDER).saturating_sub(1)
}

/// Whether partition `number` can grow until `end`.
fn room(all: &[Partition], number: i32, end: u64) -> Result<bool> {
    let Some(root) = all.iter().find(|one| one.number == number) else {
        return Err(Error::stage("its partition is not on the disk"));
    };
    if root.end + BORDER > end {
        return Ok(false);
    }
    match all
        .iter()
        .all(|one| one.end < root.end || one.number == number)
    {
        true => Ok(true),
        false => Err(Error::stage(
            "its partition is not the last one of the disk",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place of the entries as `sgdisk --move-main-table` writes it.
    #[test]
    fn a_table_that_makes_room_for_a_boot_loader_stays_where_it_is() {
        let header = |entries: u64| [&[0; 72][..], &entries.to_le_bytes(), &[0; 12]].concat();
        usual(&header(2)).unwrap();
        let error = usual(&header(2048)).unwrap_err();
        assert!(error.message().contains("sector 2048"), "{error}");
    }

    #[test]
    fn only_the_last_partition_grows_and_none_shrinks() {
        let partition = |number, mib: u64| Partition {
            number,
            end: mib * BORDER - 1,
        };
        let all = [partition(1, 10), partition(3, 2000), partition(2, 250)];
        let end = end(3 << 30);
        assert_eq!(end, (3071 << 20) - 1);
        assert!(room(&all, 3, end).unwrap());
        assert!(room(&all, 2, end).is_err() && room(&all, 4, end).is_err());
        for full in [3071, 3072] {
            assert!(!room(&[partition(1, full)], 1, end).unwrap());
        }
        // A logical partition ends with the extended one around it.
        assert!(room(&[partition(2, 2000), partition(5, 2000)], 5, end).is_err());
    }
}
