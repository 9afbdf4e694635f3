#!/bin/bash
# univers compares the versions of a vers range as they are encoded: in an rpm's the epoch and the caret are lost
#
# Seen with: univers 32.0.1 (the newest release), rpm 4.18.0+dfsg-1+deb12u1 (Debian 12).
# Behaviour: a vers is a URI, in whose versions any sign may be percent-encoded; "tools shall apply percent-decoding
#   exactly once to the version string" ("How to parse and validate VERS"). univers, of the authors of the
#   specification, does not decode. It refuses such a version of a deb, but has "%" for a separator, as any other
#   sign, in one of an rpm: "1%3A2.0-1" is no more of epoch 1, and "1.0%5E20260101-1" stands about where 1.0.5 does.
#   Packages with the fault are out of its range, and others are in it; nothing is raised.
# Output seen: "vers:rpm/<1%3A2.0-1 has 1:1.0-1: rpm True, univers False", "vers:rpm/<1.0%5E20260101-1 has 1.0.3-1: rpm
#   False, univers True"; it is right on either range with a colon and a caret as they are.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download rpm=4.18.0+dfsg-1+deb12u1 rpm-common=4.18.0+dfsg-1+deb12u1 librpm9=4.18.0+dfsg-1+deb12u1 \
  librpmio9=4.18.0+dfsg-1+deb12u1 liblua5.3-0=5.3.6-2 libpopt0=1.19+dfsg-1
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu RPM_CONFIGDIR=$PWD/tools/usr/lib/rpm
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install univers==32.0.1 semver==3.1.2 semantic-version==2.10.0 packaging==26.4
python/bin/python - <<'PY'
import subprocess
import sys
from urllib.parse import unquote

from univers.version_range import VersionRange
from univers.versions import RpmVersion


def older(one, other):
    """By rpm itself, of EPOCH:VERSION-RELEASE."""
    program = f"%{{lua: print(rpm.ver('{one}') < rpm.ver('{other}'))}}"
    return subprocess.check_output(["tools/usr/bin/rpm", "--eval", program], text=True).strip() == "true"


seen = []
for bound, version in (
    ("1:2.0-1", "1:1.0-1"),
    ("1%3A2.0-1", "1:1.0-1"),
    ("1.0^20260101-1", "1.0.3-1"),
    ("1.0%5E20260101-1", "1.0.3-1"),
):
    by_rpm = older(version, unquote(bound))
    by_univers = RpmVersion(version) in VersionRange.from_string(f"vers:rpm/<{bound}")
    print(f"vers:rpm/<{bound} has {version}: rpm {by_rpm}, univers {by_univers}")
    seen.append((by_rpm, by_univers))
if seen != [(True, True), (True, False), (False, False), (False, True)]:
    sys.exit("that has changed")
PY
