#!/bin/bash
# purl's own Python and JavaScript libraries write the URL of one Debian package in two canonical forms
#
# Seen with: packageurl-python 0.17.6 and packageurl-js 2.0.1 (the newest releases), Node.js 20.20.2.
# Behaviour: package URLs have a canonical form, so that packages of two bills of materials can be told by their
#   strings. A version such as 12.2.0-14+deb12u1, as security updates of Debian have it, is written with "+" by
#   JavaScript, where a name is not, and with "%2B" by Python; "/" and ":" in a qualifier are the other way round.
#   Each reads the other's form as the same package, and writes its own again.
# Output seen: "…@12.2.0-14%2Bdeb12u1?repository_url=https://packages.example.org/debian" by Python and
#   "…@12.2.0-14+deb12u1?repository_url=https%3A%2F%2Fpackages.example.org%2Fdebian" by JavaScript.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install packageurl-python==0.17.6
npm install --silent --no-audit --no-fund packageurl-js@2.0.1
by_python() {
  python/bin/python -c '
import sys
from packageurl import PackageURL
print(PackageURL.from_string(sys.argv[1]).to_string())' "$1"
}
by_javascript() {
  node -e '
const { PackageURL } = require("packageurl-js");
console.log(PackageURL.fromString(process.argv[1]).toString());' "$1"
}
start='pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?repository_url=https%3A%2F%2Fpackages.example.org%2Fdebian'
python=$(by_python "$start")
javascript=$(by_javascript "$start")
printf '%s\n' "Python:     $python" "JavaScript: $javascript"
check() { [ "$1" = "$2" ] || { echo "that has changed: $1"; exit 1; }; }
package='pkg:deb/debian/libstdc%2B%2B6'
check "$python" "$package@12.2.0-14%2Bdeb12u1?repository_url=https://packages.example.org/debian"
check "$javascript" "$package@12.2.0-14+deb12u1?repository_url=https%3A%2F%2Fpackages.example.org%2Fdebian"
check "$(by_python "$javascript")" "$python"
check "$(by_javascript "$python")" "$javascript"
echo "as found: the same package, never the same string"
