#!/bin/bash
# pykickstart begins a comment at any "#" without quotes, in the middle of a password too
#
# Seen with: pykickstart 3.78 (the newest release).
# Behaviour: kickstart's reference says that lines starting with "#" are comments, and a shell, as which it splits
#   words, wants a blank before one. Anaconda's parser cuts a line off at the first "#": what is left of the value is
#   taken, the options behind it are gone, `--groups=wheel` with them, and ksvalidator finds the file valid. So
#   nobody can log in with the password of the file. In quotes it is whole.
# Output seen: "bare: root pass, admin secret, groups none", "quoted: root pass#word, admin secret#1, groups wheel".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install pykickstart==3.78
write() {
  cat >"$1.ks" <<KS
text
lang en_US.UTF-8
keyboard us
timezone UTC
clearpart --all --initlabel
autopart
rootpw --plaintext $2pass#word$2
user --name=admin --plaintext --password=$2secret#1$2 --groups=wheel
KS
}
read_back() {
  python/bin/ksvalidator -v RHEL9 "$1.ks" >said 2>&1 || { cat said; echo "$1.ks is no valid file now"; exit 1; }
  python/bin/python - "$1.ks" <<'PY'
import sys
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

handler = makeVersion("RHEL9")
KickstartParser(handler).readKickstart(sys.argv[1])
(user,) = handler.user.userList
print(f"root {handler.rootpw.password}, admin {user.password}, groups {' '.join(user.groups) or 'none'}")
PY
}
try() {
  write "$1" "$2"
  line="$1: $(read_back "$1")"
  echo "$line"
  [ "$line" = "$1: $3" ] || { echo "that has changed"; exit 1; }
}
[ "$(sh -c 'echo pass#word')" = 'pass#word' ]
try bare '' 'root pass, admin secret, groups none'
try quoted '"' 'root pass#word, admin secret#1, groups wheel'
