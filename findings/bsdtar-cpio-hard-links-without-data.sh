#!/bin/bash
# bsdtar turns a ramdisk's cpio archive into a tar archive in which every file with two names is empty
#
# Seen with: libarchive-tools and libarchive13 3.6.2-1+deb12u5, cpio 2.13+dfsg-7.1 (Debian 12).
# Behaviour: in a cpio archive of the kind newc the content of a hard-linked file stands with its last name, in a tar
#   archive with its first. `bsdtar -cf root.tar @ramdisk.cpio`, as for a container of a ramdisk, changes only the
#   headers: the first name is an empty file, the others link to it, the exit code is 0 and nothing is said. All of a
#   busybox with such links is gone. `bsdtar -xf` of the same cpio archive gives the content.
# Output seen: "cpio: hello hello", "bsdtar -x: hello hello", and for ustar, gnutar and pax "0 and 0 bytes".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download libarchive-tools=3.6.2-1+deb12u5 libarchive13=3.6.2-1+deb12u5 cpio=2.13+dfsg-7.1
for package in *.deb; do dpkg -x "$package" tools; done
cpio=$PWD/tools/bin/cpio
bsdtar() { LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu "$PWD/tools/usr/bin/bsdtar" "$@"; }
bsdtar --version
mkdir root by-cpio by-bsdtar
echo hello >root/one
ln root/one root/two
(cd root && find . | sort | "$cpio" -o -H newc --quiet) >ramdisk.cpio

(cd by-cpio && "$cpio" -i --quiet) <ramdisk.cpio
echo "cpio:" "$(cat by-cpio/one)" "$(cat by-cpio/two)"
bsdtar -xf ramdisk.cpio -C by-bsdtar
echo "bsdtar -x:" "$(cat by-bsdtar/one)" "$(cat by-bsdtar/two)"
diff -r root by-cpio
diff -r root by-bsdtar

for format in ustar gnutar pax; do
  mkdir "$format"
  bsdtar --format="$format" -cf "$format.tar" @ramdisk.cpio >said 2>&1 ||
    { echo "bsdtar refuses it now: $(cat said)"; exit 1; }
  [ ! -s said ] || { echo "there is a warning now: $(cat said)"; exit 1; }
  tar -xf "$format.tar" -C "$format"
  sizes=$(stat -c %s "$format/one" "$format/two" | paste -s -d ' ')
  echo "$format: ${sizes/ / and } bytes"
  [ "$sizes" = "0 0" ] || { echo "the content is there now"; exit 1; }
done
