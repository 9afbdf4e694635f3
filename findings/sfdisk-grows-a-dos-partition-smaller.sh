#!/bin/bash
# sfdisk -N shrinks a partition that it is asked to grow, on a DOS table of a disk above 2 TiB
#
# Seen with: fdisk 2.38.1-5+deb12u3 (Debian 12).
# Behaviour: on a disk of 3 TiB, `echo ', +' | sfdisk -N 1` ("to the end of the disk") on a partition of 1.46 TiB
#   takes the end modulo 2 TiB: the partition becomes 1 TiB, the exit code is 0; the
#   warning, that such a table is not for disks above 2 TiB, is the one that any call prints. The end is cut off.
# Output seen: 3145725952 sectors before, 2147481600 after.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download fdisk=2.38.1-5+deb12u3
dpkg -x fdisk_*.deb tools
sfdisk=$PWD/tools/sbin/sfdisk
size() { "$sfdisk" -J disk.raw | python3 -c 'import json, sys; print(json.load(sys.stdin)["partitiontable"]["partitions"][0]["size"])'; }
truncate -s 3T disk.raw
printf 'label: dos\nstart=2048, size=3145725952, type=83\n' | "$sfdisk" -q disk.raw
before=$(size)
echo ', +' | "$sfdisk" -q -N 1 disk.raw || { echo "sfdisk refuses now"; exit 1; }
after=$(size)
echo "$before sectors before, $after after, exit code 0"
[ "$after" -lt "$before" ] || { echo "it is not smaller now"; exit 1; }
