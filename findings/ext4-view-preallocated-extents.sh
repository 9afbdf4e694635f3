#!/bin/bash
# The crate ext4-view reads no preallocated part of an ext4 file as zeros, and loses what is written behind it
#
# Seen with: ext4-view 1.0.0 (the newest release), e2fsprogs 1.47.0-2+b2 (Debian 12).
# Behaviour: an extent whose length is above 32768 is 32768 shorter and not yet written: fallocate(2) makes such ones,
#   and they read as zeros (the kernel's "ext4 Data Structures and Algorithms", "Extent Tree": ee_len). Journals of
#   systemd, databases and virtual disks have them. ext4-view takes the length as it is: the extent gives what its
#   blocks had before, of a file that is gone, and reaches over the extents behind it, whose data no reader gets. Its
#   page lists what it does not support, and not this; nothing is an error. debugfs gives the right bytes.
# Output seen: of a file of ten blocks, of which the first and the last are written: "debugfs: A........B", "ext4-view:
#   Aooooooooo", where o is a block of a removed file.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2
for package in *.deb; do dpkg -x "$package" tools; done
PATH=$PWD/tools/sbin:$PATH
e2fs() { LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu "$@"; }
mkdir src root
cat >Cargo.toml <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
ext4-view = { version = "=1.0.0", features = ["std"] }
END
cat >src/main.rs <<'END'
use std::io::Write;

fn main() {
    let disk = ext4_view::Ext4::load_from_path(std::path::Path::new("disk.ext4")).unwrap();
    std::io::stdout().write_all(&disk.read("/file").unwrap()).unwrap();
}
END
block() { head -c 4096 /dev/zero | tr '\0' "$1"; }
for _ in $(seq 32); do block o; done >root/old
truncate -s 16M disk.ext4
e2fs mke2fs -q -t ext4 -b 4096 -d root disk.ext4
block A >file
block B | dd of=file bs=4096 seek=9 status=none
# In place of the old file one with a hole, which is then preallocated.
printf '%s\n' 'rm old' 'write file file' 'fallocate file 1 8' >requests
e2fs debugfs -w -f requests disk.ext4 >said 2>&1
e2fs debugfs -R 'ex file' disk.ext4 2>said | grep Uninit
e2fs e2fsck -fn disk.ext4 >said 2>&1 || { cat said; echo "the file system is not clean"; exit 1; }
# One letter a block, and a dot for zeros.
letters() {
  tr '\0' . | while read -r -N 4096 text; do printf %s "${text:0:1}"; done
  echo
}
e2fs debugfs -R 'cat file' disk.ext4 2>said >by-debugfs
cmp by-debugfs file
cargo run -q --release >by-ext4-view || { echo "ext4-view refuses the file now"; exit 1; }
for reader in debugfs ext4-view; do echo "$reader: $(letters <by-$reader)"; done | tee said
if ! grep -qx 'debugfs: A\.\{8\}B' said || ! grep -qx 'ext4-view: Ao\{9\}' said; then
  echo "that has changed"
  exit 1
fi
