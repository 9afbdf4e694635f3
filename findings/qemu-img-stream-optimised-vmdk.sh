#!/bin/bash
# QEMU's stream-optimised VMDK is no stream: no footer, no end-of-stream marker, the grain directory in front
#
# Seen with: qemu-utils 1:7.2+dfsg-7+deb12u18+b3 (Debian 12); QEMU 10.0.2 of its backports does the same.
# Behaviour: VMware's "Virtual Disk Format 5.0" says that a stream-optimised extent has gdOffset GD_AT_END
#   (all ones) in its header, its grain tables and directory behind the grains with markers, a footer, and an
#   end-of-stream marker of 512 zero bytes. QEMU writes the directory's real place into the header, and nothing
#   behind the last grain. A reader from front to back (as importers of OVA are) misses the tables.
# Output seen: gdOffset is a small number, the last 512 bytes are no end-of-stream marker.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download qemu-utils=1:7.2+dfsg-7+deb12u18+b3
dpkg -x qemu-utils_*.deb tools
qemu_img=$PWD/tools/usr/bin/qemu-img
"$qemu_img" --version | head -n 1
truncate -s 4M disk.raw
printf 'hello' | dd of=disk.raw bs=1M seek=1 conv=notrunc status=none
"$qemu_img" convert -f raw -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk
python3 - <<'END'
import struct, sys
data = open("disk.vmdk", "rb").read()
magic, version, flags = struct.unpack_from("<4sII", data)
gd = struct.unpack_from("<Q", data, 56)[0]
end = data[-512:]
marker_type = struct.unpack_from("<QII", end)
print(f"magic {magic}, version {version}, flags {flags:#x}, gdOffset {gd:#x}, {len(data)} bytes")
if magic != b"KDMV" or not flags & 0x30000:
    sys.exit("this is no stream-optimised extent")
if gd == 0xFFFFFFFFFFFFFFFF:
    sys.exit("the grain directory is at the end now")
if not any(end) and data[-1024:-1020] == b"KDMV":
    sys.exit("there is a footer and an end-of-stream marker now")
print("as found: the directory is in front, and there is no footer")
END
