#!/bin/bash
# genext2fs makes other device nodes of a row of a device table than mkfs.jffs2 does: fewer, with other minor numbers
#
# Seen with: genext2fs 1.5.0-3, mtd-utils 1:2.1.5-1, e2fsprogs 1.47.0-2+b2 (Debian 12).
# Behaviour: one row of a device table may stand for many nodes; it ends with minor, start, inc and count (genext2fs(8),
#   which refers to mkfs.jffs2(1), and its option -D). For mkfs.jffs2 count is how many: the first has start in its name
#   and the minor number of the row, each further one inc more. For genext2fs count is where the names end, as the
#   page's example has it, and the minor number of node N is minor + N * inc - start, of which it says nothing: that is
#   the row's own for the first node only if inc is 1 or start is 0. A row with start 3 and count 3 gives nothing, and
#   the exit code is 0.
# Output seen: of sd with minor 16, start 1, inc 16, count 3: "mkfs.jffs2: sd1 8:16, sd2 8:32, sd3 8:48", "genext2fs:
#   sd1 8:31, sd2 8:47"; of tty with minor 3, start 3, inc 1, count 3: "mkfs.jffs2: tty3 4:3, tty4 4:4, tty5 4:5",
#   "genext2fs: none"; of loop with start 0 both make the same.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download genext2fs=1.5.0-3 mtd-utils=1:2.1.5-1 e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 liblzo2-2=2.10-2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu:$PWD/tools/usr/lib/x86_64-linux-gnu
PATH=$PWD/tools/sbin:$PWD/tools/usr/sbin:$PWD/tools/usr/bin:$PATH
mkdir root
by_genext2fs() {
  genext2fs -b 1024 -d root -D table disk.ext2 >said 2>&1 || { cat said; echo "genext2fs refuses the table now"; exit 1; }
  debugfs -R 'ls -p /' disk.ext2 2>said | awk -F / '$3 ~ /^0[26]0/ { print $6 }' | while read -r name; do
    debugfs -R "stat /$name" disk.ext2 2>said |
      awk -v name="$name" '/^Device major/ { split($4, n, ":"); print name, n[1] + 0 ":" n[2] + 0 }'
  done
}
by_mkfs.jffs2() {
  mkfs.jffs2 -l -r root -D table -o disk.jffs2
  python3 - <<'PY'
import struct

data, at, names, devices = open("disk.jffs2", "rb").read(), 0, {}, {}
while at + 12 <= len(data):
    magic, kind, length = struct.unpack_from("<HHI", data, at)
    if magic != 0x1985:
        at += 4
        continue
    if kind == 0xE001:  # a directory's entry
        (inode,) = struct.unpack_from("<I", data, at + 20)
        names[inode] = data[at + 40 : at + 40 + data[at + 28]].decode()
    elif kind == 0xE002:  # an inode, whose data are a device's numbers
        (inode,) = struct.unpack_from("<I", data, at + 12)
        size, packed = struct.unpack_from("<I", data, at + 48)[0], data[at + 68 : at + length]
        if size == 2:
            devices[inode] = "%d:%d" % (packed[1], packed[0])
    at += length + 3 & ~3
for inode in sorted(devices, key=lambda inode: names[inode]):
    print(names[inode], devices[inode])
PY
}
# try ROW NODES...: what both make of the row
try() {
  echo "$1" >table
  for maker in mkfs.jffs2 genext2fs; do
    made=$(by_"$maker" | paste -s -d , | sed 's/,/, /g')
    echo "$maker: ${made:-none}"
    [ "${made:-none}" = "$2" ] || { echo "that has changed"; exit 1; }
    shift
  done
}
try '/loop b 640 0 0 7 0 0 1 2' 'loop0 7:0, loop1 7:1' 'loop0 7:0, loop1 7:1'
try '/sd b 640 0 0 8 16 1 16 3' 'sd1 8:16, sd2 8:32, sd3 8:48' 'sd1 8:31, sd2 8:47'
try '/tty c 666 0 0 4 3 3 1 3' 'tty3 4:3, tty4 4:4, tty5 4:5' none
