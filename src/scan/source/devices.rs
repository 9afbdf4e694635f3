//! Whether every part of a disk was read that an appliance has, down to the last layer: members of
//! a RAID, volumes of LVM, what was encrypted.

use std::io::BufReader;
use std::path::Path;

use super::at::{At as _, CHUNK, OfAppliance};
use super::parts::{Content, Volume};
use crate::error::Result;
use crate::guest::Guestfs;
use crate::host::exec::quote;
use crate::scan::Scanner;
use crate::scan::holes::{Condensed, Pieces};

/// Makes every volume usable, also thin snapshots that are left out otherwise; lists those, and
/// whether they are. libguestfs lists nothing while there is a volume without a device: such ones
/// leave their group, in the appliance's own layer of the disk. Then udevd ends, as no device is
/// made any more, and its names of devices stay: each look of libguestfs at a partition sends
/// events for all of them, and the next one waits for these.
const PREPARE: &str = r#"
vgchange -ay -K >/dev/null 2>&1; udevadm settle
lvs --noheadings -o lv_path,lv_active -S 'lv_role=public && lv_layout!=pool' 2>/dev/null
for g in $(vgs --noheadings -o vg_name -S 'vg_missing_pv_count>0' 2>/dev/null); do
  vgreduce --removemissing --force $g >/dev/null 2>&1
done; udevadm settle; udevadm control --exit 2>/dev/null; true
"#;

/// Prints a line for each device that nothing lies upon: its name, the kernel's name, the partition's
/// number on the disk, its type or `-`, how much of a physical volume is used or `-`, whether it is
/// zeroes (swap space: behind its header), and the file system's UUID.
const LEAVES: &str = r#"
own=$(mountpoint -d /)
# A RAID that lacks members holds the others, and has no size.
held() { for h in $d/holders/*; do [ "$(cat $h/size 2>/dev/null || echo 0)" -gt 0 ] && return; done; return 1; }
for d in /sys/class/block/*; do
  n=${d##*/}
  case $n in loop*|ram*|zram*|sr*|fd*|nbd*) continue ;; esac
  [ "$(cat $d/dev)" != "$own" ] && [ "$(cat $d/size)" -gt 0 ] || continue
  # An extended partition is a table, of which the kernel shows the first sectors.
  case $(blkid -p -o value -s PART_ENTRY_TYPE /dev/$n 2>/dev/null) in 0x5|0xf|0x85) continue ;; esac
  # LVM's own: pools, their data, what snapshots are made of; a volume has nothing behind its UUID.
  case $(cat $d/dm/uuid 2>/dev/null) in LVM-*-*) continue ;; esac
  ! held || continue
  kind=$(blkid -p -o value -s TYPE /dev/$n)
  # What is a member of something has a table from before, or one that is in what it is a member of.
  case $kind in *_member) ;; *) ! ls -d $d/$n*/partition >/dev/null 2>&1 || continue ;; esac
  part=-; case $n in md*|dm-*) ;; *) [ ! -e $d/partition ] || part=$(cat $d/partition) ;; esac
  used=-; zero=-
  case $kind in
  LVM2_member) used=$(pvs --noheadings --nosuffix --units b -o pv_used /dev/$n 2>/dev/null | tr -d ' ') ;;
  '') cmp -s -n $(($(cat $d/size) * 512)) /dev/$n /dev/zero && zero=zero ;;
  swap) [ "$(cat $d/size)" -gt 128 ] && cmp -s -i 65536 -n $(($(cat $d/size) * 512 - 65536)) /dev/$n /dev/zero && zero=zero ;;
  esac
  name=$(cat $d/dm/name 2>/dev/null || echo $n)
  echo "$name $n $part ${kind:--} ${used:--} $zero $(blkid -p -o value -s UUID /dev/$n)"
done; true
"#;

/// Gets the appliance ready; returns volumes of LVM that libguestfs may not list. Those that cannot
/// be activated are told: where another of their group can, nothing else would.
pub(super) fn prepare(guest: &Guestfs, scanner: &mut Scanner<'_>) -> Result<Vec<String>> {
    guest.pack_sparsely()?;
    let printed = guest.debug("sh", &[PREPARE])?;
    let (active, closed) = logical(&printed);
    for volume in closed {
        scanner.enter(&format!("/({volume})"));
        scanner.unsearched("/", "this volume of LVM cannot be activated".into());
    }
    scanner.enter("");
    Ok(active.into_iter().map(str::to_owned).collect())
}

/// The logical volumes that are active, and those that are not.
fn logical(printed: &str) -> (Vec<&str>, Vec<&str>) {
    let lines = printed.lines().map(str::trim);
    let (active, closed): (Vec<&str>, Vec<&str>) = lines
        .filter(|line| line.starts_with("/dev/"))
        .partition(|line| line.contains(' '));
    (
        active.into_iter().map(path).collect(),
        closed.into_iter().map(path).collect(),
    )
}

/// The first word of a line.
fn path(line: &str) -> &str {
    line.split(' ').next().unwrap_or(line)
}

/// What a device is called here and there: its place on the disk, else the kernel's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Device {
    /// The disk itself.
    Disk,
    /// A partition of the disk.
    Partition(u32),
    /// What lies upon those.
    Upper(String),
}

impl Device {
    /// Of libguestfs' name, which the kernel of the appliance may not know.
    pub(super) fn of(guest: &Guestfs, name: &str) -> Result<Device> {
        if let Some(place) = name.strip_prefix("/dev/sd") {
            let digits = place.trim_start_matches(|c: char| c.is_ascii_lowercase());
            return Ok(digits.parse().map_or(Device::Disk, Device::Partition));
        }
        let line = format!("readlink -f {0} || echo {0}", quote(name));
        let path = guest.debug("sh", &[&line])?;
        let device = path.trim().trim_start_matches("/dev/");
        Ok(Device::Upper(device.to_owned()))
    }
}

/// Reports every part of the disk whose files nobody has seen; those of `told` were, or it is known
/// why not.
pub(super) fn account(
    guest: &Guestfs,
    raw: &Path,
    volumes: &[Volume],
    known: &[String],
    scanner: &mut Scanner<'_>,
) -> Result<()> {
    let printed = guest.debug("sh", &[LEAVES])?;
    let leaves: Vec<Leaf> = printed.lines().filter_map(Leaf::read).collect();
    let devices = known.iter().map(|name| Device::of(guest, name));
    let devices: Vec<Device> = devices.collect::<Result<_>>()?;
    let is_told = |leaf: &Leaf| leaf.devices().iter().any(|own| devices.contains(own));
    for leaf in &leaves {
        // The devices of one btrfs are mounted together.
        let others = leaves.iter().filter(|other| other.same_btrfs(leaf));
        let read = is_told(leaf) || others.clone().any(is_told);
        let of = |volume: &&Volume| Some(volume.number) == leaf.part;
        let volume = volumes.iter().find(of);
        let bytes = |v: &Volume| matches!(v.content, Content::Bytes | Content::NoFiles);
        if volume.is_some_and(bytes) {
            continue;
        }
        let name = leaf
            .part
            .map_or(leaf.name.clone(), |n| format!("partition {n}"));
        scanner.enter(&format!("/({name})"));
        if leaf.kind == "swap" {
            search(guest, leaf, scanner)?;
        } else if let Some(why) = leaf.unseen(read) {
            scanner.unsearched("/", why);
        }
    }
    // What the appliance's kernel has no device for.
    let devices = guest.list_partitions()?;
    for volume in volumes.iter().filter(|volume| volume.number > 0) {
        let there = |name: &String| {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            name.starts_with("/dev/sd") && digits == volume.number.to_string()
        };
        let read = matches!(volume.content, Content::Bytes | Content::NoFiles);
        if !read && !devices.iter().any(there) {
            scanner.enter(&format!("/(partition {})", volume.number));
            let place = format!(
                "the appliance does not find it: bytes {} to {} of {}",
                volume.start,
                volume.start.saturating_add(volume.size),
                raw.display()
            );
            scanner.unsearched("/", place);
        }
    }
    scanner.enter("");
    Ok(())
}

/// How much of a swap space its header may have, in bytes: a page.
const HEADER: u64 = 64 << 10;

/// Searches the bytes of a swap space, which are no file's. One that was never used is not read in all.
fn search(guest: &Guestfs, leaf: &Leaf, scanner: &mut Scanner<'_>) -> Result<()> {
    let device = match &leaf.devices()[0] {
        Device::Disk => "/dev/sda".to_owned(),
        Device::Partition(number) => format!("/dev/sda{number}"),
        Device::Upper(name) => format!("/dev/{name}"),
    };
    let size = guest.device_size(&device)?;
    let data = if leaf.zero { HEADER.min(size) } else { size };
    let pieces = Pieces::new(size, std::iter::once(0..data));
    let from = OfAppliance {
        guest,
        device: &device,
    };
    let bytes = Condensed::new(&pieces, |at, into: &mut [u8]| {
        from.fill(into, at).map(|()| into.len())
    });
    scanner.take_bytes(
        "",
        size,
        Some(&pieces),
        &mut BufReader::with_capacity(CHUNK, bytes),
    )
}

/// A device that nothing lies upon.
#[derive(Debug, PartialEq, Eq)]
struct Leaf {
    name: String,
    kernel: String,
    part: Option<u32>,
    kind: String,
    used: String,
    zero: bool,
    uuid: String,
}

impl Leaf {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let kernel = words.next()?.to_owned();
        let part = words.next()?.parse().ok();
        Some(Leaf {
            name,
            kernel,
            part,
            kind: words.next()?.to_owned(),
            used: words.next()?.to_owned(),
            zero: words.next()? == "zero",
            uuid: words.next().unwrap_or_default().to_owned(),
        })
    }

    /// What it may be called; without udev, names of the device mapper are no links.
    fn devices(&self) -> [Device; 2] {
        let mapped = Device::Upper(format!("mapper/{}", self.name));
        let own = match self.part {
            Some(number) => Device::Partition(number),
            None if self.kernel.starts_with("sd") => Device::Disk,
            None => Device::Upper(self.kernel.clone()),
        };
        [own, mapped]
    }

    fn same_btrfs(&self, other: &Leaf) -> bool {
        self.kind == "btrfs" && other.kind == "btrfs" && self.uuid == other.uuid
    }

    /// Why its files were not seen; `None` where there are none, or they were `read`, or it is told
    /// already why not.
    fn unseen(&self, read: bool) -> Option<String> {
        Some(match self.kind.as_str() {
            "-" if self.zero => return None,
            "-" => "nothing that is known is in it".into(),
            "swap" => return None,
            "LVM2_member" if self.used == "0" => return None,
            "LVM2_member" => "not all volumes of its LVM group are there".into(),
            "linux_raid_member" => "its RAID cannot be assembled".into(),
            "crypto_LUKS" => "it is encrypted by LUKS, and no key opens it".into(),
            "BitLocker" => "it is encrypted by BitLocker".into(),
            "zfs_member" => "it is a ZFS pool, which the appliance cannot read".into(),
            other if other.ends_with("_member") || CACHES.contains(&other) => {
                format!("it is a part of something that is not there ({other})")
            }
            _ if read => return None,
            other => format!("the appliance does not read its {other} there"),
        })
    }
}

/// Types that are no file systems, and hold what others are made of.
const CACHES: [&str; 5] = ["bcache", "drbd", "jbd", "VMFS_volume_member", "swsuspend"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_hold_no_files_is_passed_over() {
        let unseen = |line: &str, read| Leaf::read(line).unwrap().unseen(read);
        for line in [
            "sda2 sdb2 2 - - zero",
            "sda3 sdb3 3 swap - -",
            "sda4 sdb4 4 LVM2_member 0 -",
        ] {
            assert_eq!(unseen(line, false), None, "{line}");
        }
        for line in [
            "sda1 sda1 1 - - -",
            "sda2 sda2 2 LVM2_member 4096 -",
            "sda2 sda2 2 LVM2_member - -",
            "sda3 sda3 3 linux_raid_member - -",
            "sda4 sda4 4 zfs_member - -",
            "sda5 sda5 5 crypto_LUKS - -",
            "sda6 sda6 6 ddf_raid_member - -",
            "sda7 sda7 7 bcache - -",
            "sda8 sda8 8 jbd - -",
        ] {
            assert!(unseen(line, true).is_some(), "{line}");
        }
        // File systems, if they were read: libguestfs lists none in a partition of another type.
        for line in ["sda1 sdb1 1 ext4 - -", "vg-root dm-0 - xfs - -"] {
            assert_eq!(unseen(line, true), None, "{line}");
            assert!(unseen(line, false).is_some(), "{line}");
        }
    }

    #[test]
    fn devices_have_the_same_name_on_both_sides() {
        let devices = |line: &str| Leaf::read(line).unwrap().devices();
        assert_eq!(devices("sdb1 sdb1 1 ext4 - -")[0], Device::Partition(1));
        assert_eq!(devices("sdb sdb - ext4 - -")[0], Device::Disk);
        let upper = ["dm-0", "mapper/vg-root"].map(|name| Device::Upper(name.into()));
        assert_eq!(devices("vg-root dm-0 - ext4 - -"), upper);
        let [a, b, c] = ["1-2", "1-2", "3"].map(|uuid| {
            let line = format!("sda1 sda1 1 btrfs - - {uuid}");
            Leaf::read(&line).unwrap()
        });
        assert!(a.same_btrfs(&b) && !a.same_btrfs(&c));
    }

    #[test]
    fn volumes_that_cannot_be_activated_are_known() {
        let printed = "  /dev/v/data active\n  /dev/v/broken \n\n";
        assert_eq!(
            logical(printed),
            (vec!["/dev/v/data"], vec!["/dev/v/broken"])
        );
    }
}
