//! Whether every part of a disk was read that an appliance has, down to the last layer: members of
//! a RAID, volumes of LVM, what was encrypted.

use std::path::Path;

use super::parts::{Content, Volume};
use crate::error::Result;
use crate::guest::Guestfs;
use crate::scan::Scanner;

/// Makes every volume usable, also thin snapshots that are left out otherwise; lists those.
const PREPARE: &str = r#"
vgchange -ay -K >/dev/null 2>&1; udevadm settle
lvs --noheadings -o lv_path -S 'lv_role=public && lv_layout!=pool' 2>/dev/null; true
"#;

/// Prints a line for each device that nothing lies upon: its name, the partition's number on the
/// disk, its type or `-`, how much of a physical volume is used or `-`, and whether it is zeroes.
const LEAVES: &str = r#"
own=$(mountpoint -d /)
for d in /sys/class/block/*; do
  n=${d##*/}
  case $n in loop*|ram*|zram*|sr*|fd*|nbd*) continue ;; esac
  [ "$(cat $d/dev)" != "$own" ] && [ "$(cat $d/size)" -gt 0 ] || continue
  # An extended partition is a table, of which the kernel shows the first sectors.
  case $(blkid -p -o value -s PART_ENTRY_TYPE /dev/$n 2>/dev/null) in 0x5|0xf|0x85) continue ;; esac
  # LVM's own: pools, their data, what snapshots are made of; a volume has nothing behind its UUID.
  case $(cat $d/dm/uuid 2>/dev/null) in LVM-*-*) continue ;; esac
  [ -z "$(ls $d/holders)" ] && ! ls -d $d/$n*/partition >/dev/null 2>&1 || continue
  part=-; case $n in md*|dm-*) ;; *) [ ! -e $d/partition ] || part=$(cat $d/partition) ;; esac
  kind=$(blkid -p -o value -s TYPE /dev/$n); used=-; zero=-
  case $kind in
  LVM2_member) used=$(pvs --noheadings --nosuffix --units b -o pv_used /dev/$n 2>/dev/null | tr -d ' ') ;;
  '') cmp -s -n $(($(cat $d/size) * 512)) /dev/$n /dev/zero && zero=zero ;;
  esac
  name=$(cat $d/dm/name 2>/dev/null || echo $n)
  echo "$name $part ${kind:--} ${used:--} $zero"
done; true
"#;

/// Gets the appliance ready; returns volumes of LVM that libguestfs may not list.
pub(super) fn prepare(guest: &Guestfs) -> Result<Vec<String>> {
    guest.pack_sparsely()?;
    let volumes = guest.debug("sh", &[PREPARE])?;
    let volumes = volumes.lines().map(str::trim);
    Ok(volumes
        .filter(|line| line.starts_with("/dev/"))
        .map(str::to_owned)
        .collect())
}

/// Reports every part of the disk whose files nobody has seen.
pub(super) fn account(
    guest: &Guestfs,
    raw: &Path,
    volumes: &[Volume],
    scanner: &mut Scanner<'_>,
) -> Result<()> {
    let printed = guest.debug("sh", &[LEAVES])?;
    let leaves: Vec<Leaf> = printed.lines().filter_map(Leaf::read).collect();
    for leaf in &leaves {
        let of = |volume: &&Volume| Some(volume.number) == leaf.part;
        let volume = volumes.iter().find(of);
        let bytes = |v: &Volume| matches!(v.content, Content::Bytes | Content::NoFiles);
        if volume.is_some_and(bytes) {
            continue;
        }
        if let Some(why) = leaf.unseen() {
            let name = leaf
                .part
                .map_or(leaf.name.clone(), |n| format!("partition {n}"));
            scanner.enter(&format!("/({name})"));
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

/// A device that nothing lies upon.
#[derive(Debug, PartialEq, Eq)]
struct Leaf {
    name: String,
    part: Option<u32>,
    kind: String,
    used: String,
    zero: bool,
}

impl Leaf {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let part = words.next()?.parse().ok();
        Some(Leaf {
            name,
            part,
            kind: words.next()?.to_owned(),
            used: words.next()?.to_owned(),
            zero: words.next()? == "zero",
        })
    }

    /// Why its files were not seen; `None` where there are none, or it is a file system, whose
    /// mounting has told the rest.
    fn unseen(&self) -> Option<String> {
        Some(match self.kind.as_str() {
            "-" if self.zero => return None,
            "-" => "nothing that is known is in it".into(),
            "swap" => return None,
            "LVM2_member" if self.used == "0" => return None,
            "LVM2_member" => "not all volumes of its LVM group are there".into(),
            "linux_raid_member" => "its RAID cannot be assembled".into(),
            "crypto_LUKS" => "it is encrypted by LUKS, and no key was given".into(),
            "BitLocker" => "it is encrypted by BitLocker".into(),
            "zfs_member" => "it is a ZFS pool, which the appliance cannot read".into(),
            other if other.ends_with("_member") || CACHES.contains(&other) => {
                format!("it is a part of something that is not there ({other})")
            }
            _ => return None,
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
        let unseen = |line: &str| Leaf::read(line).unwrap().unseen();
        for line in [
            "sda1 1 ext4 - -",
            "sda2 2 - - zero",
            "sda3 3 swap - -",
            "sda4 4 LVM2_member 0 -",
            "vg-root - xfs - -",
        ] {
            assert_eq!(unseen(line), None, "{line}");
        }
        for line in [
            "sda1 1 - - -",
            "sda2 2 LVM2_member 4096 -",
            "sda2 2 LVM2_member - -",
            "sda3 3 linux_raid_member - -",
            "sda4 4 zfs_member - -",
            "sda5 5 crypto_LUKS - -",
            "sda6 6 ddf_raid_member - -",
            "sda7 7 bcache - -",
            "sda8 8 jbd - -",
        ] {
            assert!(unseen(line).is_some(), "{line}");
        }
    }
}
