#!/bin/bash
# ksflatten adds "bootloader --location=none" to a kickstart file that does not speak of a boot loader
#
# Seen with: pykickstart 3.78 (the newest release).
# Behaviour: Anaconda installs its usual boot loader for a file without a line `bootloader`, and the bare line
#   `bootloader` means --location=mbr. But pykickstart's object for a command that was never read has another
#   location, and is written out: what ksflatten makes of such a file has Anaconda skip the boot loader. The same goes
#   for str() of a handler after a parse. ksvalidator takes both files.
# Output seen: "bootloader --location=none" without the line, "bootloader --location=mbr" with it.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install pykickstart==3.78
cat >without.ks <<'KS'
text
lang en_US.UTF-8
keyboard us
timezone UTC
rootpw --lock
clearpart --all --initlabel
autopart
%packages
@core
%end
KS
{ echo bootloader; cat without.ks; } >with.ks
flatten() {
  python/bin/ksvalidator -v RHEL9 "$1.ks" >said || { cat said; echo "$1.ks is no valid file"; exit 1; }
  python/bin/ksflatten -v RHEL9 -c "$1.ks" -o "$1.flat"
  line=$(grep '^bootloader' "$1.flat" || echo "no line")
  echo "$1: $line"
  [ "$line" = "$2" ] || { echo "that has changed"; exit 1; }
}
flatten without 'bootloader --location=none'
flatten with 'bootloader --location=mbr'
