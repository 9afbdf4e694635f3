#!/bin/bash
# systemd-repart sets no flag at all, not even ReadOnly=, if Flags= has a bit that UEFI defines for all partitions
#
# Seen with: systemd 252.39-1~deb12u2, fdisk and libfdisk1 2.38.1-5+deb12u3, gdisk 1.0.9-2.1 (Debian 12). Systemd's
#   issue 35591 has bit 2 for 256.8.
# Behaviour: Flags= "configures the 64bit GPT partition flags field", to which ReadOnly= and NoAuto= add bits 60 and 63
#   (repart.d(5)). Bits 0 to 2 are common to all types, the last for what a legacy BIOS boots ("GPT Partition Entry
#   Array" in UEFI's specification); gptmbr.bin of syslinux and U-Boot look for it. repart gives libfdisk a list of
#   numbers, which knows these three by name only, refuses the list, and is not heard: the partition is not
#   bootable, and it is writable and mounted, too. The exit code is 0 without a word. sfdisk sets all three by name,
#   and repart leaves them as they are where it makes a partition longer.
# Output seen: "repart ReadOnly, NoAuto: 9000000000000000", "repart ReadOnly, NoAuto, Flags=0x4: 0000000000000000",
#   "sfdisk LegacyBIOSBootable, GUID:60,63: 9000000000000004", "the same, grown by repart: 9000000000000004".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download systemd=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2 fdisk=2.38.1-5+deb12u3 \
  libfdisk1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3 gdisk=1.0.9-2.1
for package in *.deb; do dpkg -x "$package" tools; done
lib=$PWD/tools/usr/lib/x86_64-linux-gnu
export PATH=$PWD/tools/bin:$PWD/tools/usr/bin:$PWD/tools/sbin:$PWD/tools/usr/sbin:$PATH
export LD_LIBRARY_PATH=$lib:$lib/systemd:$PWD/tools/lib/x86_64-linux-gnu
mkdir definitions
# repart EMPTY [LINE]...: one partition, with these lines in its definition
repart() {
  printf '%s\n' '[Partition]' Type=srv "${@:2}" >definitions/10.conf
  systemd-repart --empty="$1" --definitions=definitions --dry-run=no --no-pager disk.img >said 2>&1 ||
    { cat said; exit 1; }
  if grep -i -e flag -e attribute said; then
    echo "it speaks of them now"
    exit 1
  fi
}
new() { rm -f disk.img && truncate -s 64M disk.img; }
field() { sgdisk -i 1 disk.img | sed -n "s/^$1: \([^ ]*\).*/\1/p"; }
# show WHAT FLAGS
show() {
  flags=$(field 'Attribute flags')
  echo "$1: $flags"
  [ "$flags" = "$2" ] || { echo "that has changed"; exit 1; }
}
new
repart require ReadOnly=yes NoAuto=yes
show 'repart ReadOnly, NoAuto' 9000000000000000
new
repart require ReadOnly=yes NoAuto=yes Flags=0x4
show 'repart ReadOnly, NoAuto, Flags=0x4' 0000000000000000
new
srv=3B8F8425-20E0-4F3B-907F-1A25A76F98E8
printf '%s\n' 'label: gpt' "size=10M, type=$srv, attrs=\"LegacyBIOSBootable GUID:60,63\"" | sfdisk -q disk.img
show 'sfdisk LegacyBIOSBootable, GUID:60,63' 9000000000000004
repart refuse
[ "$(field 'Partition size')" -gt 100000 ] || { echo "it has not grown"; exit 1; }
show 'the same, grown by repart' 9000000000000004
