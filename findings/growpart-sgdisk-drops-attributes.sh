#!/bin/bash
# growpart, if it grows by sgdisk, clears a GPT partition's attributes: it boots no more, or is mounted where it was not
#
# Seen with: cloud-guest-utils 0.33-1, gdisk 1.0.9-2.1, fdisk 2.38.1-5+deb12u3 (Debian 12).
# Behaviour: growpart(1) makes a partition longer, and says of nothing else that it changes. Where there is no sfdisk
#   that can do so, or with GROWPART_RESIZER=sgdisk, it deletes the partition and makes it anew, with its number, type,
#   GUID and name, but without its attributes ("GPT Partition Entry Array" in UEFI's specification; the
#   Discoverable Partitions Specification has the upper ones): bit 2, by which gptmbr.bin of syslinux finds what to
#   boot, 60 (read-only), 63 (not to be mounted automatically). By sfdisk they stay. The exit code is 0 both times.
# Output seen: "before: 8000000000000004", "sfdisk: 8000000000000004", "sgdisk: 0000000000000000".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download cloud-guest-utils=0.33-1 gdisk=1.0.9-2.1 fdisk=2.38.1-5+deb12u3 libpopt0=1.19+dfsg-1
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu
PATH=$PWD/tools/sbin:$PWD/tools/usr/sbin:$PWD/tools/usr/bin:$PATH
about() { sgdisk -i 1 disk.raw >said && sed -n "s/^$1: //p" said; }
for resizer in sfdisk sgdisk; do
  rm -f disk.raw
  truncate -s 64M disk.raw
  sgdisk -n 1:2048:+20M -t 1:8300 -c 1:root -A 1:set:2 -A 1:set:63 disk.raw >said
  before=$(about 'Attribute flags') guid=$(about 'Partition unique GUID')
  [ "$before" = 8000000000000004 ]
  truncate -s 128M disk.raw
  GROWPART_RESIZER=$resizer growpart disk.raw 1 >said 2>&1 || { cat said; echo "growpart refuses it now"; exit 1; }
  grep '^CHANGED' said
  if grep -i 'attrib\|warn' said; then echo "there is a warning now"; exit 1; fi
  [ "$(about 'Partition unique GUID')" = "$guid" ]
  after=$(about 'Attribute flags')
  echo "before: $before, $resizer: $after"
  [ "$resizer $after" = "sfdisk $before" ] || [ "$resizer $after" = "sgdisk 0000000000000000" ] ||
    { echo "that has changed"; exit 1; }
done
