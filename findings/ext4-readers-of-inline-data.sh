#!/bin/bash
# Of ext4's inline data two readers get the first 60 bytes only: dissect.extfs ends there, libfsext goes on with zeros
#
# Seen with: dissect.extfs 3.15 and libfsext-python 20260821 (the newest releases), e2fsprogs 1.47.0-2+b2 (Debian 12).
# Behaviour: with the feature inline_data the content of a small file, and a target of a symbolic link, is in the 60
#   bytes of its inode's block map and, as far as it does not fit there, in the extended attribute system.data (the
#   kernel's "ext4 Data Structures and Algorithms", "Inline Data"). Neither reader looks for that rest. For dissect a
#   small file, a configuration say, ends behind 60 bytes, for libfsext there are zeros in its place, and for both a
#   symbolic link leads somewhere else. Nothing is raised, and both tell the whole size. debugfs gives all of it.
# Output seen: "debugfs: file 100, link 100 bytes", "dissect.extfs: file 60, link 60 bytes", "libfsext: file 60 and 40
#   zeros, link 60 bytes".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu
PATH=$PWD/tools/sbin:$PATH
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install dissect.extfs==3.15 dissect.cstruct==4.7 dissect.util==3.24 \
  libfsext-python==20260821
mkdir root
text=$(yes directory/ | tr -d '\n' | head -c 100 || true)
printf %s "$text" >root/file
ln -s "$text" root/link
truncate -s 16M disk.ext4
mke2fs -q -t ext4 -b 4096 -I 256 -O inline_data -d root disk.ext4
e2fsck -fn disk.ext4 >said 2>&1 || { cat said; echo "the file system is not clean"; exit 1; }
debugfs -R 'cat file' disk.ext4 2>said >file
link=$(debugfs -R 'stat link' disk.ext4 2>said | sed -n 's/^Fast link dest: "\(.*\)"/\1/p')
echo "debugfs: file $(wc -c <file), link ${#link} bytes"
cmp file root/file
[ "$link" = "$text" ] || { echo "debugfs has another target"; exit 1; }
python/bin/python - "$text" <<'PY' | tee said
import sys

import pyfsext
from dissect.extfs import ExtFS

extfs = ExtFS(open("disk.ext4", "rb"))
file, link = extfs.get("/file"), extfs.get("/link")
dissect = (file.open().read().decode(), link.link, file.size, link.size)

volume = pyfsext.volume()
volume.open("disk.ext4")
file, link = (volume.get_file_entry_by_path(f"/{name}") for name in ("file", "link"))
libfsext = (
    file.read_buffer(1000).decode(),
    link.get_symbolic_link_target(),
    file.get_size(),
    link.get_size(),
)
for name, (content, target, size, length) in (("dissect.extfs", dissect), ("libfsext", libfsext)):
    zeros = content.count("\0")
    content = content.rstrip("\0")
    assert size == length == 100 and sys.argv[1].startswith(content) and sys.argv[1].startswith(target)
    print(f"{name}: file {len(content)}{f' and {zeros} zeros' if zeros else ''}, link {len(target)} bytes")
PY
if ! grep -qx 'dissect.extfs: file 60, link 60 bytes' said ||
  ! grep -qx 'libfsext: file 60 and 40 zeros, link 60 bytes' said; then
  echo "that has changed"
  exit 1
fi
