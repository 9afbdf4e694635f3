#!/bin/bash
# partitioninfo gives /dev/sda4 for number 3 where there is no /dev/sda3, and finds no number 4
#
# Seen with: partitioninfo 6.0.3 (the newest release), Node.js 20.20.2, fdisk 2.38.1-5+deb12u3 (Debian 12).
# Behaviour: a partition has the number of its entry, and a table may have unused entries between others, as after one
#   was deleted (sfdisk(8), "Input formats"; "GPT Partition Entry Array" in UEFI's specification: a type of zero). The
#   page of partitioninfo, by which balena-image-fs finds what it reads and writes in an image, says: "Partition numbers
#   for get(image, N) are like Linux's /dev/sdaN". It counts the entries in use instead: behind a gap each number
#   gives offset and size of the partition behind the one that was meant, in a DOS table and in a GPT. Logical
#   partitions have the right numbers. Nothing is raised but for the last number.
# Output seen: "dos: sfdisk 1 2048, 3 40960, 4 81920; partitioninfo 1 2048, 2 40960, 3 81920", the same for gpt.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download fdisk=2.38.1-5+deb12u3 libfdisk1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3
for package in *.deb; do dpkg -x "$package" tools; done
npm install --silent --no-audit --no-fund partitioninfo@6.0.3
sfdisk() { LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu tools/sbin/sfdisk "$@"; }
cat >probe.js <<'JS'
const { get } = require("partitioninfo");

(async () => {
  const found = [];
  for (const number of [1, 2, 3, 4]) {
    try {
      found.push(`${number} ${(await get(process.argv[2], number)).offset / 512}`);
    } catch (error) {
      if (!error.message.startsWith("Partition not found")) throw error;
    }
  }
  console.log(found.join(", "));
})();
JS
# try LABEL PARTITIONINFO: partitions 1, 3 and 4, with their first sectors
try() {
  truncate -s 64M "$1.img"
  printf '%s\n' "label: $1" '1: start=2048, size=2048' '3: start=40960, size=2048' '4: start=81920, size=2048' |
    sfdisk -q "$1.img"
  numbers=$(sfdisk -d "$1.img" | sed -n 's/^.*img\([0-9]\) : start= *\([0-9]*\),.*/\1 \2/p')
  numbers=${numbers//$'\n'/, }
  found=$(node probe.js "$1.img")
  echo "$1: sfdisk $numbers; partitioninfo $found"
  [ "$numbers; $found" = "1 2048, 3 40960, 4 81920; $2" ] || { echo "that has changed"; exit 1; }
}
try dos '1 2048, 2 40960, 3 81920'
try gpt '1 2048, 2 40960, 3 81920'
