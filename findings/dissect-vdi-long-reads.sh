#!/bin/bash
# dissect.hypervisor gives other data for a dynamic VDI if it is read by more than one block at once
#
# Seen with: dissect.hypervisor 3.21 (the newest release) on dissect.util 3.24, qemu-utils
#   1:7.2+dfsg-7+deb12u18+b3 (Debian 12).
# Behaviour: a dynamic VDI, which is what VirtualBox makes unless told otherwise, holds its blocks of 1 MiB in any
#   order, and none where the disk has a hole. A read of one block looks that up. A longer one does so for the first
#   block only and goes on in the file: what stands behind it there, zeros if it is a hole, and less than
#   was asked for where the file ends. Nothing is raised. A digest or a copy by 8 MiB is of another disk.
# Output seen: "holes behind: by block 8 MiB, 8 right; at once 2 MiB, 1 right" and
#   "a hole in front: by block 8 MiB, 8 right; at once 8 MiB, 6 right".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download qemu-utils=1:7.2+dfsg-7+deb12u18+b3
dpkg -x qemu-utils_*.deb tools
qemu_img=$PWD/tools/usr/bin/qemu-img
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install dissect.hypervisor==3.21 dissect.util==3.24
try() {
  truncate -s 8M "$1.raw"
  for block in $2; do
    { yes "block $block" || true; } | head -c 1M | dd of="$1.raw" bs=1M seek="$block" conv=notrunc iflag=fullblock status=none
  done
  "$qemu_img" convert -f raw -O vdi "$1.raw" "$1.vdi"
  "$qemu_img" compare -q -f raw -F vdi "$1.raw" "$1.vdi"
  python/bin/python - "$1" <<'PY' | tee said
import sys
from pathlib import Path
from dissect.hypervisor.disk.vdi import VDI

MIB = 1 << 20
name = sys.argv[1]
right = Path(f"{name}.raw").read_bytes()


def judge(data):
    same = sum(data[at : at + MIB] == right[at : at + MIB] for at in range(0, len(right), MIB))
    return f"{len(data) // MIB} MiB, {same} right"


disk = VDI(Path(f"{name}.vdi"))
assert disk.size == 8 * MIB and disk.block_size == MIB
stream = disk.open()
by_block = b"".join(stream.read(MIB) for _ in range(8))
stream.seek(0)
print(f"{name}: by block {judge(by_block)}; at once {judge(stream.read(8 * MIB))}")
PY
  grep -qx "$1: by block 8 MiB, 8 right; at once $3" said || { echo "that has changed"; exit 1; }
}
try "holes behind" "0 2" "2 MiB, 1 right"
try "a hole in front" "3 5" "8 MiB, 6 right"
