#!/bin/bash
# e2image -ra clones an ext4 file system without its backup superblocks, and e2fsck finds the copy clean
#
# Seen with: e2fsprogs 1.47.0-2+b2 (Debian 12).
# Behaviour: the raw copy with file data has the primary superblock and group descriptors only. Where dumpe2fs lists
#   the backups there are zeros, or on a device what was there before. `e2fsck -f` of the copy ends with 0 all the
#   same; only who needs a backup, as of `e2fsck -b 32768` or `mount -o sb=`, sees that there is none.
# Output seen: "disk: clean, backup readable", "copy: clean, backup unreadable", "Bad magic number in super-block".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu
PATH=$PWD/tools/sbin:$PATH
mkdir root
echo hello >root/file
truncate -s 256M disk
mke2fs -q -t ext4 -b 4096 -d root disk
e2image -ra disk copy
dumpe2fs disk 2>&1 | grep 'Backup superblock at 32768'
[ "$(debugfs -R 'cat file' copy 2>said)" = hello ]
check() {
  local backup=readable
  e2fsck -fn "$1" >said 2>&1 || { cat said; echo "$1 is not clean"; exit 1; }
  dumpe2fs -h -o superblock=32768 -o blocksize=4096 "$1" >said 2>&1 || backup=unreadable
  echo "$1: clean, backup $backup"
  [ "$backup" = "$2" ] || { cat said; echo "that has changed"; exit 1; }
}
check disk readable
check copy unreadable
grep 'Bad magic number' said
cmp -n 8192 -i 134217728:0 copy /dev/zero || { echo "there is something at the backup's place now"; exit 1; }
echo "as found: the copy is clean, and its backup superblocks are zeros"
