#!/bin/bash
# libosinfo's preseed files for Debian lose the name of the user and a command when debconf reads them
#
# Seen with: osinfo-db 0.20221130-2, libosinfo-bin and libosinfo-1.0-0 1.10.0-2, debconf 1.5.82 (Debian 12).
# Behaviour: a line of a preseed file has an owner, a question, a type and a value, and a question has one value
#   (debconf-set-selections(1), "Data format"). What osinfo-install-script writes for Debian has passwd/username
#   without a type, so that the name is taken for the type, and the line is skipped; and preseed/late_command twice,
#   so that the second, which leaves a mark, replaces the first, which takes the installer's disc out of sources.list.
#   An installation with it has a user without the name that was asked for, or stops for it, and keeps the disc.
# Output seen: "Unknown type admin, skipping line 32", exit code 0; "passwd/username: none",
#   "preseed/late_command: in-target touch /root/osinfo-install-successful", of 2 in the file.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download osinfo-db=0.20221130-2 libosinfo-bin=1.10.0-2 libosinfo-1.0-0=1.10.0-2 debconf=1.5.82
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu OSINFO_SYSTEM_DIR=$PWD/tools/usr/share/osinfo
export PERL5LIB=$PWD/tools/usr/share/perl5 DEBCONF_DB_REPLACE="File{$PWD/database}"
printf '%s\n' '[install-script]' user-login=admin user-realname=Administrator user-password=example \
  admin-password=example hostname=host.example.org >settings
tools/usr/bin/osinfo-install-script --profile jeos --config-file settings debian11 >said 2>&1 || { cat said; exit 1; }
answers=(*preseed.cfg)
commands=$(grep -c '^d-i preseed/late_command ' "${answers[0]}")
perl tools/usr/bin/debconf-set-selections "${answers[0]}" >said 2>&1 || { cat said; echo "debconf refuses it now"; exit 1; }
cat said
grep -q 'Unknown type admin' said || { echo "the type is there now"; exit 1; }
value() { awk -v question="$1" '$1 == "Name:" { name = $2 } name == question && sub(/^Value: */, "") { $1 = $1; print }' database; }
[ "$(value passwd/user-fullname)" = Administrator ]
name=$(value passwd/username) command=$(value preseed/late_command)
echo "passwd/username: ${name:-none}"
echo "preseed/late_command: $command, of $commands in the file"
if [ -n "$name" ] || [ "$commands: $command" != "2: in-target touch /root/osinfo-install-successful" ]; then
  echo "that has changed"
  exit 1
fi
