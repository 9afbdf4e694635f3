#!/bin/bash
# pyfatfs, asked to replace grub.cfg on a FAT of mtools', adds a second file of that name, and GRUB reads the old one
#
# Seen with: pyfatfs 1.1.0 (the newest release), mtools 4.0.33-1+really4.0.32-1, dosfstools 4.2-1, grub-common
#   2.06-13+deb12u2 (Debian 12).
# Behaviour: no directory of a FAT has two names that differ only by case (Microsoft's "FAT: General Overview of On-Disk
#   Format" 1.03 on the matching of short and long names; mtools' manual, "Case sensitivity of the VFAT file system").
#   mtools writes grub.cfg as a short name, with two bits that say "lower case", as Windows NT and its successors do.
#   For pyfatfs the file is GRUB.CFG, and no other spelling finds it: exists() is False, and what is written as grub.cfg
#   becomes a new file with a long name. pyfatfs reads that one; GRUB finds the first, with the old content, and mtools
#   both. fsck.fat is content. A name that was long before, as meta-data, is replaced.
# Output seen: "grub.cfg: exists False, pyfatfs new, GRUB old, mtools old new", "meta-data: exists True, pyfatfs new,
#   GRUB new, mtools new".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download mtools=4.0.33-1+really4.0.32-1 dosfstools=4.2-1 grub-common=2.06-13+deb12u2 \
  libdevmapper1.02.1=2:1.02.185-2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu MTOOLSRC=/dev/null
PATH=$PWD/tools/sbin:$PWD/tools/usr/bin:$PATH
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install pyfatfs==1.1.0 fs==2.4.16 setuptools==65.5.0
truncate -s 4M disk.fat
mkfs.fat disk.fat >said
for name in grub.cfg meta-data; do
  echo old >$name
  mcopy -i disk.fat $name ::
done
python/bin/python -W ignore - <<'PY' | tee said
import subprocess

from pyfatfs.PyFatFS import PyFatFS


def run(*words):
    return subprocess.check_output(words, text=True).strip()


names = ("grub.cfg", "meta-data")
disk = PyFatFS("disk.fat")
existed = {name: disk.exists(f"/{name}") for name in names}
for name in names:
    disk.writetext(f"/{name}", "new\n")
disk.close()
disk = PyFatFS("disk.fat", read_only=True)
for name in names:
    print(f"{name}: exists {existed[name]}, pyfatfs {disk.readtext(f'/{name}').strip()}", end="")
    print(f", GRUB {run('grub-fstest', 'disk.fat', 'cat', f'(loop0)/{name}')}", end="")
    print(f", mtools {' '.join(run('mtype', '-i', 'disk.fat', f'::/{name}').split())}")
PY
fsck.fat -n disk.fat || { echo "fsck.fat is not content now"; exit 1; }
if ! grep -qx 'grub.cfg: exists False, pyfatfs new, GRUB old, mtools old new' said ||
  ! grep -qx 'meta-data: exists True, pyfatfs new, GRUB new, mtools new' said; then
  echo "that has changed"
  exit 1
fi
