#!/bin/bash
# nbdkit's gzip filter serves the first member of a disk image, and takes that for the whole disk
#
# Seen with: nbdkit 1.32.5-1, libnbd-bin and libnbd0 1.14.2-1 (Debian 12).
# Behaviour: a gzip file may have more than one member (RFC 1952), as bgzip and `cat a.gz b.gz` write it, and gunzip
#   gives all of them. The filter stops at the end of the first one: the disk is as small as that, with
#   no error and no word in its manual page. The xz filter beside it serves all streams of such a file.
# Output seen: "gunzip: 2097152", "xz: 2097152", "gzip: 1048576"; nbdcopy ends with 0 each time.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download nbdkit=1.32.5-1 libnbd-bin=1.14.2-1 libnbd0=1.14.2-1
for package in *.deb; do dpkg -x "$package" tools; done
libraries=$PWD/tools/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries nbdcopy=$PWD/tools/usr/bin/nbdcopy
nbdkit() { timeout 60 "$PWD/tools/usr/bin/nbdkit" "$@"; }
nbdkit --version
yes 'first half' | head -c 1M >first.raw || true
yes 'second half' | head -c 1M >second.raw || true
cat first.raw second.raw >disk.raw
for program in gzip xz; do
  { "$program" -c first.raw; "$program" -c second.raw; } >"disk.$program"
done
gzip -dc disk.gzip | cmp - disk.raw
echo "gunzip: $(gzip -dc disk.gzip | wc -c)"

serve() {
  # shellcheck disable=SC2016
  nbdkit -U - "$libraries/nbdkit/plugins/nbdkit-file-plugin.so" "disk.$1" \
    --filter="$libraries/nbdkit/filters/nbdkit-$1-filter.so" --run '"$nbdcopy" "$uri" '"$1.raw" ||
    { echo "the $1 filter refuses it now"; exit 1; }
  echo "$1: $(stat -c %s "$1.raw")"
}
serve xz
cmp xz.raw disk.raw
serve gzip
cmp gzip.raw first.raw || { echo "that has changed"; exit 1; }
