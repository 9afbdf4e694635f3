#!/bin/bash
# parted, growpart and the crate gpt put a partition table that stands behind a boot loader over it, at any change
#
# Seen with: parted and libparted2 3.5-3+deb12u1, cloud-guest-utils 0.33-1, gdisk 1.0.9-2.1, fdisk 2.38.1-5+deb12u3
#   (Debian 12), gpt 4.1.0 (the newest release).
# Behaviour: where a GPT's partition entries are stands in its header, PartitionEntryLBA ("GPT Header" in UEFI's
#   specification); LBA 2 is only usual. On disks for boards whose ROM looks for a boot loader at 8 KiB, as Allwinner's,
#   the entries are moved behind it, by `sgdisk --move-main-table` or genimage's gpt-location. libparted and the crate
#   read them there, and write them to LBA 2 to 33 whatever is to change, a name or a length. growpart, unless told to
#   use sgdisk, has sfdisk make a new table of a dump, which does not tell the place. The disk lists well, and the board
#   starts no more; each ends with 0, and none says so. sgdisk, and sfdisk where it changes a table, leave the
#   entries where they are.
# Output seen: "sgdisk: entries at 2048, loader whole, name renamed", the same for sfdisk, and "parted: entries at 2,
#   loader overwritten, name renamed", the same for gpt; "growpart: entries at 2, loader overwritten, name first".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download parted=3.5-3+deb12u1 libparted2=3.5-3+deb12u1 gdisk=1.0.9-2.1 fdisk=2.38.1-5+deb12u3 \
  libfdisk1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3 cloud-guest-utils=0.33-1
for package in *.deb; do dpkg -x "$package" tools; done
export PATH=$PWD/tools/sbin:$PWD/tools/usr/sbin:$PWD/tools/usr/bin:$PATH
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu:$PWD/tools/usr/lib/x86_64-linux-gnu
mkdir src
cat >Cargo.toml <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
gpt = "=4.1.0"
END
cat >src/main.rs <<'END'
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut disk = gpt::GptConfig::new().writable(true).open(path).unwrap();
    let mut partitions = disk.partitions().clone();
    partitions.get_mut(&1).unwrap().name = "renamed".into();
    disk.update_partitions(partitions).unwrap();
    disk.write().unwrap();
}
END
LD_LIBRARY_PATH='' cargo build -q --release
head -c 32K /dev/zero | tr '\0' B >loader
# try TOOL ENTRIES LOADER NAME: the partition gets another name by that tool, or is made longer
try() {
  rm -f disk.img && truncate -s 32M disk.img
  sgdisk -j 2048 -n 1:4096:+10M -c 1:first disk.img >said
  dd if=loader of=disk.img bs=8K seek=1 conv=notrunc status=none
  case $1 in
    sgdisk) sgdisk -c 1:renamed disk.img ;;
    sfdisk) sfdisk --part-label disk.img 1 renamed ;;
    parted) parted -s disk.img name 1 renamed ;;
    gpt) target/release/probe disk.img ;;
    growpart) growpart disk.img 1 ;;
  esac >said 2>&1 || { cat said; exit 1; }
  [ "$1" != parted ] || [ ! -s said ] || { cat said; echo "parted speaks of it now"; exit 1; }
  entries=$(od -An -t u8 -j 584 -N 8 disk.img | tr -d ' ')
  state=overwritten
  cmp -s -i 8192:0 -n 32768 disk.img loader && state=whole
  name=$(sgdisk -i 1 disk.img | sed -n "s/^Partition name: '\(.*\)'/\1/p")
  echo "$1: entries at $entries, loader $state, name $name"
  [ "$entries $state $name" = "$2 $3 $4" ] || { echo "that has changed"; exit 1; }
}
try sgdisk 2048 whole renamed
try sfdisk 2048 whole renamed
try parted 2 overwritten renamed
try gpt 2 overwritten renamed
try growpart 2 overwritten first
