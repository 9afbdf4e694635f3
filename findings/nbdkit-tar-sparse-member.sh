#!/bin/bash
# nbdkit's tar filter serves a sparse member as it is stored: without its holes, the next members behind it
#
# Seen with: nbdkit 1.32.5-1, libnbd-bin and libnbd0 1.14.2-1 (Debian 12), GNU tar 1.34.
# Behaviour: of a file archived by `tar --sparse` only the data is stored, with a map of where it belongs (GNU tar's
#   manual, "Storing Sparse Files"; Google Cloud has its images made so, --format=oldgnu). nbdkit-tar-filter(1) says
#   that tar-entry= reads and writes a file inside of an archive, and nothing of holes. It takes the member's place in
#   the archive and the file's full size: the client gets the pieces of data without the holes between them, then
#   headers and content of the members behind it. Without -r a write goes there, too, and destroys them.
# Output seen: for oldgnu and posix "not sparse: right", "sparse: 4194304 bytes, the word of 3 MiB is not there, the
#   next member is", nbdcopy ends with 0; then "after a write of the disk: tar: Exiting with failure status …".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download nbdkit=1.32.5-1 libnbd-bin=1.14.2-1 libnbd0=1.14.2-1
for package in *.deb; do dpkg -x "$package" tools; done
libraries=$PWD/tools/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries nbdcopy=$PWD/tools/usr/bin/nbdcopy
nbdkit() { timeout 60 "$PWD/tools/usr/bin/nbdkit" "$@"; }
nbdkit --version
truncate -s 4M disk.raw
for at in 1 3; do echo "word at $at MiB" | dd of=disk.raw bs=1M seek=$at conv=notrunc status=none; done
yes 'a note' | head -c 5M >notes || true

# serve ARCHIVE COMMAND: runs COMMAND, which has the disk's address in $uri
serve() {
  nbdkit -U - "$libraries/nbdkit/plugins/nbdkit-file-plugin.so" "$1" \
    --filter="$libraries/nbdkit/filters/nbdkit-tar-filter.so" tar-entry=disk.raw --run "$2" ||
    { echo "the filter refuses it now"; exit 1; }
}
for format in oldgnu posix; do
  tar --format=$format -cf whole.tar disk.raw notes
  tar --format=$format --sparse -cf sparse.tar disk.raw notes
  tar -xOf sparse.tar disk.raw | cmp - disk.raw
  # shellcheck disable=SC2016
  for archive in whole sparse; do serve $archive.tar '"$nbdcopy" "$uri" '$archive.raw; done
  cmp whole.raw disk.raw
  echo "$format, not sparse: right"
  [ "$(stat -c %s sparse.raw)" = 4194304 ] || { echo "it has another size now"; exit 1; }
  tail -c 1M sparse.raw >end
  if grep -q 'word at 3 MiB' end; then echo "the word is at its place now"; exit 1; fi
  grep -q 'a note' end || { echo "the next member is not served now"; exit 1; }
  echo "$format, sparse: 4194304 bytes, the word of 3 MiB is not there, the next member is"
done

# shellcheck disable=SC2016
serve sparse.tar '"$nbdcopy" disk.raw "$uri"'
if tar -tf sparse.tar >said 2>&1 && grep -qx notes said; then echo "a write spares the next member now"; exit 1; fi
echo "after a write of the disk: $(tail -n 1 said)"
