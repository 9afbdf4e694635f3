#!/bin/bash
# libvmdk gives the head of the VMDK file where the disk has a grain of zeros
#
# Seen with: libvmdk-python 20260714 (the newest release), dissect.hypervisor 3.21, qemu-utils
#   1:7.2+dfsg-7+deb12u18+b3 (Debian 12).
# Behaviour: an entry of a sparse extent's grain table is 0 for a grain that is not there, the sector of one that is, or
#   1 for one of zeros, if bit 2 of the header's flags says so (VMware's "Virtual Disk Format 5.0", "Hosted Sparse
#   Extent Header" and "Grain Table"). QEMU writes the 1 for a range that it is told to fill with zeros, with the option
#   zeroed_grain; dissect, 7-Zip and QEMU read it. libvmdk takes it for sector 1: the client gets the description of
#   the disk and what else the file begins with, 64 KiB of it for each such grain. Nothing is raised.
# Output seen: of 16 grains written, of which the first 4 are zeros again: "dissect.hypervisor: 64 right", "libvmdk: 60
#   right, 4 with the head of the file: # Disk DescriptorFile".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download qemu-utils=1:7.2+dfsg-7+deb12u18+b3
dpkg -x qemu-utils_*.deb tools
PATH=$PWD/tools/usr/bin:$PATH
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install libvmdk-python==20260714 \
  dissect.hypervisor==3.21 dissect.util==3.24
qemu-img create -q -f vmdk -o zeroed_grain=on disk.vmdk 4M
qemu-io -f vmdk -c 'write -P 0x11 0 1M' -c 'write -z 0 256k' disk.vmdk >said
qemu-img convert -f vmdk -O raw disk.vmdk disk.raw
{
  head -c 256K /dev/zero
  head -c 768K /dev/zero | tr '\0' '\021'
  head -c 3M /dev/zero
} | cmp - disk.raw
python/bin/python - <<'PY' | tee said
from pathlib import Path

import pyvmdk
from dissect.hypervisor.disk.vmdk import VMDK

GRAIN = 64 << 10
right = Path("disk.raw").read_bytes()
head = Path("disk.vmdk").read_bytes()[512 : 512 + GRAIN]
libvmdk = pyvmdk.handle()
libvmdk.open("disk.vmdk")
libvmdk.open_extent_data_files()
assert libvmdk.get_media_size() == len(right)
for name, data in (
    ("dissect.hypervisor", VMDK(Path("disk.vmdk")).read(len(right))),
    ("libvmdk", libvmdk.read_buffer_at_offset(len(right), 0)),
):
    grains = [(data[at : at + GRAIN], right[at : at + GRAIN]) for at in range(0, len(right), GRAIN)]
    same, heads = (sum(test) for test in ((a == b for a, b in grains), (a == head for a, _ in grains)))
    print(f"{name}: {same} right", end="")
    print(f", {heads} with the head of the file: {data.splitlines()[0].decode()}" if heads else "")
PY
if ! grep -qx 'dissect.hypervisor: 64 right' said ||
  ! grep -qx 'libvmdk: 60 right, 4 with the head of the file: # Disk DescriptorFile' said; then
  echo "that has changed"
  exit 1
fi
