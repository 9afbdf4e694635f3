#!/bin/bash
# mmtarfilter renames the members of an archive, and leaves its hard links with the names that no member has any more
#
# Seen with: mmdebstrap 1.3.5-7 (Debian 12), GNU tar 1.34.
# Behaviour: by its --help, --transform and --strip-components work "just as with GNU tar". GNU tar applies both to the
#   targets of hard links, too, which are names of members ("Modifying File and Member Names" in its manual: scope
#   flags "rsh" by default). mmtarfilter changes the members' names only. What it makes of a Debian system, where perl
#   and perl5.36.0 are one file, lists well and does not unpack; over an older tree it does, and the link is to
#   a file of that one. The exit code is 0, and nothing is said.
# Output seen: "GNU tar --strip-components=2: second is first", "mmtarfilter --strip-components=2: second links to
#   ./usr/bin/first", "Cannot hard link to './usr/bin/first'", "over a tree with a file of that name: second is old".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download mmdebstrap=1.3.5-7
dpkg -x mmdebstrap_*.deb tools
mmtarfilter() { python3 "$PWD/tools/usr/bin/mmtarfilter" "$@"; }
mkdir -p root/usr/bin
echo content >root/usr/bin/first
ln root/usr/bin/first root/usr/bin/second
tar -C root --sort=name -cf in.tar .
for option in --strip-components=2 '--transform=s,^\./usr,./opt,'; do
  folder=bin
  [ "$option" = --strip-components=2 ] || folder=opt/bin
  rm -rf by-tar by-mmtarfilter over
  mkdir by-tar by-mmtarfilter
  tar -C by-tar "$option" -xf in.tar
  cmp by-tar/$folder/second root/usr/bin/first
  echo "GNU tar $option: second is first"

  mmtarfilter "$option" <in.tar >out.tar 2>said || { echo "mmtarfilter refuses it now: $(cat said)"; exit 1; }
  [ ! -s said ] || { echo "there is a warning now: $(cat said)"; exit 1; }
  tar -tf out.tar >names
  grep -qx ".*$folder/first" names || { echo "the member has another name now"; exit 1; }
  link=$(tar -tvf out.tar | sed -n 's/.*second link to //p')
  echo "mmtarfilter $option: second links to $link"
  [ "$link" = ./usr/bin/first ] || { echo "that has changed"; exit 1; }
  if tar -C by-mmtarfilter -xf out.tar 2>said; then echo "it unpacks now"; exit 1; fi
  tail -n 2 said

  mkdir -p over/usr/bin
  echo old >over/usr/bin/first
  tar -C over -xf out.tar
  echo "over a tree with a file of that name: second is $(cat over/$folder/second)"
  [ "$(cat over/$folder/second)" = old ] || { echo "that has changed"; exit 1; }
done
