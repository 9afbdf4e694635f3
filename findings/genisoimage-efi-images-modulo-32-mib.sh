#!/bin/bash
# genisoimage writes the size of an EFI boot image modulo 32 MiB: of an EFI partition of 40 MiB firmware gets 8
#
# Seen with: genisoimage 9:1.1.11-3.4, xorriso and libisofs6 1.5.4, mtools 4.0.33-1+really4.0.32-1 (Debian 12).
# Behaviour: the boot catalogue of a CD has 16 bits for a number of sectors of 512 bytes, which firmware takes for the
#   size of the EFI partition; 0 and 1 stand for all up to the end of the CD (UEFI 2.10, 13.3.2.1 "ISO-9660 and El
#   Torito"). For an image above 32 MiB, as with a kernel and a ramdisk in it, xorriso writes 0. genisoimage writes the
#   lower 16 bits: the partition ends early, and files behind that are listed and cannot be read. It warns of nothing,
#   and ends with 0. For the size 0 its own geteltorito makes an empty file, with exit code 0, too.
# Output seen: "genisoimage, 30 MiB: 61440 sectors, last file whole; geteltorito 31457280 bytes", "genisoimage, 40 MiB:
#   16384 sectors, last file gone; geteltorito 8388608 bytes", "xorriso, 40 MiB: 0 sectors, last file whole;
#   geteltorito 0 bytes".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download genisoimage=9:1.1.11-3.4 xorriso=1.5.4-4 libisofs6=1.5.4-1 libisoburn1=1.5.4-4 libburn4=1.5.4-1 \
  libjte2=1.22-3 mtools=4.0.33-1+really4.0.32-1
for package in *.deb; do dpkg -x "$package" tools; done
export PATH=$PWD/tools/usr/bin:$PATH LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu
printf 'last\n' >last
head -c 20M /dev/zero >ramdisk
mkdir tree
# try WRITER MIB SECTORS FILE BYTES: the catalogue, the last file of the partition that it tells of, geteltorito's copy
try() {
  rm -f tree/efi.img
  mformat -C -T "$(($2 * 2048))" -i tree/efi.img ::
  mcopy -i tree/efi.img ramdisk last ::
  options=(-R -o disc.iso -eltorito-alt-boot -e efi.img -no-emul-boot tree)
  case $1 in
    genisoimage) genisoimage "${options[@]}" ;;
    xorriso) xorriso -as mkisofs "${options[@]}" ;;
  esac >said 2>&1 || { cat said; exit 1; }
  read -r sectors start < <(xorriso -indev disc.iso -report_el_torito plain 2>/dev/null |
    sed -n 's/^El Torito boot img :  *1  UEFI  y   none  0x0000  0x00 *\([0-9]*\) *\([0-9]*\)$/\1 \2/p')
  length=$((sectors * 512))
  [ "$sectors" -gt 1 ] || length=$(($(stat -c %s disc.iso) - start * 2048))
  tail -c "+$((start * 2048 + 1))" disc.iso | head -c "$length" >partition || true
  mdir -b -i partition :: | grep -qx '::/last' || { echo "the directory has no such file"; exit 1; }
  file=gone
  mtype -i partition ::last 2>/dev/null | cmp -s - last && file=whole
  geteltorito disc.iso 2>said >copy || { cat said; exit 1; }
  echo "$1, $2 MiB: $sectors sectors, last file $file; geteltorito $(stat -c %s copy) bytes"
  [ "$sectors $file $(stat -c %s copy)" = "$3 $4 $5" ] || { echo "that has changed"; exit 1; }
}
try genisoimage 30 61440 whole 31457280
try xorriso 30 61440 whole 31457280
try genisoimage 40 16384 gone 8388608
try xorriso 40 0 whole 0
