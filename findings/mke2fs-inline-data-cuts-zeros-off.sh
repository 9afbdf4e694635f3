#!/bin/bash
# mke2fs -d cuts the zeros at the end of a file off, if the new file system has the feature inline_data
#
# Seen with: e2fsprogs 1.47.0-2+b2 (Debian 12).
# Behaviour: -d copies "the contents of the given directory" (mke2fs(8)). With inline_data, which is for small files
#   (ext4(5)), a large one whose last blocks are zeros, whether they are a hole or written, ends in the copy behind
#   the last block that has something else: disk images, swap files and preallocated logs are shorter than they
#   were. mke2fs ends with 0 and says nothing, and e2fsck -f finds the file system clean. Without the feature the
#   zeros become a hole and the size stays.
# Output seen: "^inline_data: hole 1048576, zeros 1048576 bytes; clean", "inline_data: hole 503808, zeros 503808 bytes;
#   clean".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu
PATH=$PWD/tools/sbin:$PATH
mkdir root
truncate -s 1M root/hole
echo word | dd of=root/hole bs=1 seek=500000 conv=notrunc status=none
cp --sparse=never root/hole root/zeros
# try FEATURE SIZE: with the feature, or without it, both files have that size in the file system
try() {
  truncate -s 16M "$1.ext4"
  mke2fs -q -t ext4 -b 4096 -I 256 -O "$1" -d root "$1.ext4" >said 2>&1 || { cat said; echo "mke2fs refuses it now"; exit 1; }
  [ ! -s said ] || { cat said; echo "mke2fs says something now"; exit 1; }
  e2fsck -fn "$1.ext4" >said 2>&1 || { cat said; echo "the file system is not clean now"; exit 1; }
  for file in hole zeros; do
    debugfs -R "dump $file $file" "$1.ext4" 2>said
    cmp -n "$2" "$file" root/hole
  done
  line="$1: hole $(stat -c %s hole), zeros $(stat -c %s zeros) bytes; clean"
  echo "$line"
  [ "$line" = "$1: hole $2, zeros $2 bytes; clean" ] || { echo "that has changed"; exit 1; }
}
try ^inline_data 1048576
try inline_data 503808
