#!/bin/bash
# dissect.volume gives each partition of a GPT without its last sector, and one of a DOS table whole
#
# Seen with: dissect.volume 3.18 and libvsgpt-python 20260911 (the newest releases), fdisk 2.38.1-5+deb12u3 (Debian 12).
# Behaviour: EndingLBA is the last block of a partition, so that it has EndingLBA - StartingLBA + 1 of them ("GPT
#   Partition Entry Array" in UEFI's specification). dissect.volume, whose source has "inclusive" beside the field,
#   leaves the 1 out: size and content are 512 bytes short. A copy or digest of a partition is of something else, a
#   partition of one sector is empty, and what is looked for from the end is not found: a superblock of GELI or of an
#   old RAID, the backup boot sector of NTFS, the last block of a file system that fills its partition. Nothing is
#   raised. libvsgpt gives all of it, and dissect.volume itself does, if the table is a DOS one.
# Output seen: "gpt: sfdisk 2048 and 1 sectors, dissect.volume 2047 and 0, the last one lost, libvsgpt 2048 and 1, the
#   last one read", "dos: sfdisk 2048 and 1 sectors, dissect.volume 2048 and 1, the last one read".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download fdisk=2.38.1-5+deb12u3 libfdisk1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3
for package in *.deb; do dpkg -x "$package" tools; done
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install dissect.volume==3.18 libvsgpt-python==20260911
sfdisk() { LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu tools/sbin/sfdisk "$@"; }
# try LABEL SAID: two partitions, of which the first ends with a sector that can be told
try() {
  truncate -s 8M "$1.img"
  sfdisk -q "$1.img" <<<$'label: '"$1"$'\nstart=2048, size=2048\nstart=6144, size=1'
  head -c 512 /dev/zero | tr '\0' L | dd of="$1.img" bs=512 seek=4095 conv=notrunc status=none
  lengths=$(sfdisk -d "$1.img" | sed -n 's/.*size= *\([0-9]*\),.*/\1/p' | paste -sd ' ' | sed 's/ / and /')
  python/bin/python - "$1" "$lengths" <<'PY' | tee said
import sys

import pyvsgpt
from dissect.volume.disk import Disk

SECTOR = 512
label, lengths = sys.argv[1:]


def tell(name, partitions):
    sizes = [size // SECTOR for size, _ in partitions]
    end = "read" if partitions[0][1].endswith(b"L" * SECTOR) else "lost"
    return f"{name} {sizes[0]} and {sizes[1]}, the last one {end}"


found = []
with open(f"{label}.img", "rb") as file:
    found.append(tell("dissect.volume", [(each.size, each.open().read()) for each in Disk(file).partitions]))
if label == "gpt":
    volume = pyvsgpt.volume()
    volume.open(f"{label}.img")
    found.append(tell("libvsgpt", [(each.size, each.read_buffer(each.size)) for each in volume.partitions]))
print(f"{label}: sfdisk {lengths} sectors, {', '.join(found)}")
PY
  grep -qFx "$1: sfdisk 2048 and 1 sectors, $2" said || { echo "that has changed"; exit 1; }
}
try gpt 'dissect.volume 2047 and 0, the last one lost, libvsgpt 2048 and 1, the last one read'
try dos 'dissect.volume 2048 and 1, the last one read'
