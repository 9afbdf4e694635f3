#!/bin/bash
# lvs refuses a configuration of comments only, though it takes an empty one
#
# Seen with: lvm2 2.03.16-2 (Debian 12).
# Behaviour: an empty lvm.conf means all defaults, and so does one with an empty section. One whose lines are all
#   comments, as after switching the last setting off, or one empty line, cannot be loaded: `lvs` ends with 4,
#   even for its help, and does not say what is wrong with it.
# Output seen: "empty: 0", "a comment: 4 Failed to load config file", "an empty line: 4 …", "an empty section: 0".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download lvm2=2.03.16-2 libdevmapper-event1.02.1=2:1.02.185-2 libdevmapper1.02.1=2:1.02.185-2 libaio1=0.3.113-4
for package in *.deb; do dpkg -x "$package" tools; done
export LVM_SYSTEM_DIR=$PWD/etc
export LD_LIBRARY_PATH=$PWD/tools/lib/x86_64-linux-gnu:$PWD/tools/usr/lib/x86_64-linux-gnu
mkdir "$LVM_SYSTEM_DIR"
try() {
  local code=0
  printf '%b' "$2" >"$LVM_SYSTEM_DIR/lvm.conf"
  LVM_SUPPRESS_FD_WARNINGS=1 tools/sbin/lvm lvs --help >out 2>&1 || code=$?
  echo "$1: $code $([ $code = 0 ] || cat out)"
  [ $code = "$3" ] || { echo "it ended with $3 before"; exit 1; }
}
try "empty" '' 0
try "a comment" '# use_lvmetad = 0\n' 4
try "an empty line" '\n' 4
try "an empty section" 'devices {\n}\n' 0
