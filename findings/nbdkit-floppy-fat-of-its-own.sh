#!/bin/bash
# nbdkit's virtual floppy is a FAT that lenient readers take: not mtools, not two libraries, and fsck.fat would mend it
#
# Seen with: nbdkit 1.32.5-1, libnbd-bin and libnbd0 1.14.2-1, mtools 4.0.33-1+really4.0.32-1, dosfstools 4.2-1
#   (Debian 12), dissect.fat 3.13 and pyfatfs 1.1.0 (the newest releases).
# Behaviour: nbdkit-floppy-plugin(1) makes "a virtual FAT-formatted floppy disk" of a directory, FAT32 at any size,
#   which it says wastes space and does not matter. By Microsoft's "FAT: General Overview of On-Disk Format" 1.03 the
#   number of clusters alone tells the type (FAT32 from 65525 on), a boot sector begins with EB or E9, and ".." of a
#   folder in the root has cluster 0. The plugin's has none of these, and no sectors and heads either. libblkid
#   names it vfat; readers that look closer refuse it with an error, whatever is on it.
# Output seen: "mkfs: fsck.fat: 0, mtools: 0, dissect.fat: b'hello\n', pyfatfs: b'hello\n'", "nbdkit: fsck.fat: 1, mtools:
#   1, dissect.fat: InvalidBPB, pyfatfs: PyFATException", "has only 4 clusters", "Invalid '..' entry".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download nbdkit=1.32.5-1 libnbd-bin=1.14.2-1 libnbd0=1.14.2-1 mtools=4.0.33-1+really4.0.32-1 dosfstools=4.2-1
for package in *.deb; do dpkg -x "$package" tools; done
libraries=$PWD/tools/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries nbdcopy=$PWD/tools/usr/bin/nbdcopy MTOOLSRC=/dev/null
PATH=$PWD/tools/sbin:$PWD/tools/usr/sbin:$PWD/tools/usr/bin:$PATH:/usr/sbin
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install dissect.fat==3.13 dissect.cstruct==4.7 dissect.util==3.24 \
  pyfatfs==1.1.0 fs==2.4.16 setuptools==65.5.0
mkdir -p files/folder
echo hello >files/meta-data
echo hello >files/folder/user-data
# shellcheck disable=SC2016
timeout 60 nbdkit -U - "$libraries/nbdkit/plugins/nbdkit-floppy-plugin.so" files --run '"$nbdcopy" "$uri" whole.raw'
dd if=whole.raw of=nbdkit.fat bs=512 skip=2048 status=none
truncate -s 1440K mkfs.fat
mkfs.fat mkfs.fat >said
for maker in mkfs nbdkit; do blkid -p -o value -s TYPE $maker.fat | grep -x vfat; done >said
mcopy -i mkfs.fat -s files/meta-data files/folder ::

# judge FILE: what each reader says of it
judge() {
  local code=0
  fsck.fat -n "$1" >fsck.said 2>&1 || code=$?
  echo "fsck.fat: $code"
  code=0
  mdir -i "$1" :: >mdir.said 2>&1 || code=$?
  echo "mtools: $code"
  python/bin/python -W ignore - "$1" <<'PY'
import sys

from dissect.fat.fat import FATFS
from pyfatfs.PyFatFS import PyFatFS

for name, read in (
    ("dissect.fat", lambda: FATFS(open(sys.argv[1], "rb")).get("meta-data").open().read()),
    ("pyfatfs", lambda: PyFatFS(sys.argv[1], read_only=True).readbytes("/meta-data")),
):
    try:
        print(f"{name}: {read()}")
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
PY
}
for maker in mkfs nbdkit; do
  judge $maker.fat | paste -s -d , | sed "s/,/, /g; s/^/$maker: /"
  if [ $maker = mkfs ]; then continue; fi
  grep -h 'has only\|Invalid' fsck.said
  grep 'zero number of heads' mdir.said
done | tee judged
if ! grep -qxF "mkfs: fsck.fat: 0, mtools: 0, dissect.fat: b'hello\n', pyfatfs: b'hello\n'" judged ||
  ! grep -qxF 'nbdkit: fsck.fat: 1, mtools: 1, dissect.fat: InvalidBPB, pyfatfs: PyFATException' judged; then
  echo "that has changed"
  exit 1
fi
