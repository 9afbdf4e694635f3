#!/bin/bash
# debconf-set-selections -c ends with 0 on a type that does not exist, and on a boolean that is none
#
# Seen with: debconf 1.5.82 (Debian 12).
# Behaviour: `-c` ("only check the format") warns on a misspelt type and ends with 0; a boolean `yes` gives
#   no output at all. debian-installer asks its question for the first, and takes the second for false.
# Output seen: `warning: Unknown type strnig, skipping line 1`; nothing; both exit code 0.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download debconf=1.5.82
dpkg -x debconf_*.deb tools
check() {
	printf '%s\n' "$1" >answers
	DEBCONF_DB_REPLACE="File{$PWD/database}" PERL5LIB=$PWD/tools/usr/share/perl5 \
		perl "$PWD/tools/usr/bin/debconf-set-selections" -c answers 2>&1
}
told=$(check 'd-i time/zone strnig Etc/UTC') || { echo "a misspelt type is refused now: $told"; exit 1; }
echo "misspelt type, exit code 0: $told"
[[ $told == *"nknown type strnig"* ]] || { echo "another warning now"; exit 1; }
told=$(check 'd-i passwd/root-login boolean yes') || { echo "the boolean is refused now: $told"; exit 1; }
[ -z "$told" ] || { echo "there is a warning for the boolean now: $told"; exit 1; }
echo "boolean \`yes\`, exit code 0, no output"
