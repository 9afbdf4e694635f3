#!/bin/bash
# libqcow reads many of a qcow2 image's compressed clusters as zeros, without an error
#
# Seen with: libqcow-python 20260703 (the newest release) and 20240308, qemu-utils 1:7.2+dfsg-7+deb12u18+b3 (Debian 12).
# Behaviour: of an image that `qemu-img convert -c` wrote, as nearly all published cloud images are, the new release
#   gives zeros for clusters that the release before and QEMU give with their data. The read has the full
#   length and raises nothing, so what is looked for in an image is just not there.
# Output seen: "20240308: 64 right, 0 zeros", "20260703: 36 right, 28 zeros".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download qemu-utils=1:7.2+dfsg-7+deb12u18+b3
dpkg -x qemu-utils_*.deb tools
qemu_img=$PWD/tools/usr/bin/qemu-img
python3 - <<'PY'
import random
random.seed(1)
words = [b"%x " % random.getrandbits(32) for _ in range(4000)]
with open("disk.raw", "wb") as disk:
    for _ in range(64):
        disk.write(b"".join(random.choice(words) for _ in range(9000))[:65536])
PY
"$qemu_img" convert -f raw -O qcow2 -c disk.raw disk.qcow2
"$qemu_img" check -q disk.qcow2
"$qemu_img" compare disk.raw disk.qcow2
count() {
  python3 -m venv "python-$1"
  "python-$1/bin/pip" -q --disable-pip-version-check install "libqcow-python==$1"
  "python-$1/bin/python" - <<'PY'
import pyqcow
disk = open("disk.raw", "rb").read()
image = pyqcow.file()
image.open("disk.qcow2")
assert image.get_media_size() == len(disk) == 64 * 65536
right = zeros = 0
for at in range(0, len(disk), 65536):
    cluster = image.read_buffer_at_offset(65536, at)
    assert len(cluster) == 65536
    right += cluster == disk[at:at + 65536]
    zeros += not any(cluster)
print(f"{pyqcow.get_version()}: {right} right, {zeros} zeros")
PY
}
count 20240308 | tee said
grep -qx '20240308: 64 right, 0 zeros' said || { echo "the older release does so too now"; exit 1; }
count 20260703 | tee said
if ! grep -qx '20260703: [0-9]* right, [1-9][0-9]* zeros' said; then
  echo "there are no zeros now"
  exit 1
fi
