#!/bin/bash
# sqfstar makes a root directory of its own, whatever the archive says, and drops POSIX ACLs with exit code 0
#
# Seen with: squashfs-tools 1:4.5.1-1 (Debian 12), GNU tar 1.34, acl 2.3.1.
# Behaviour: an archive's entry `./` (here 0750, uid 7, 1970) is ignored: the root of the squashfs is 0777,
#   belongs to who runs sqfstar and has the time of the run, so two runs differ. `system.posix_acl_access` is
#   ignored, and even -exit-on-error ends with 0: the file has lost its ACL.
# Output seen: `drwxrwxrwx 0/0 … squashfs-root` and
#   `Unrecognised tar xattr prefix system.posix_acl_access, ignoring`, exit code 0.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download squashfs-tools=1:4.5.1-1
dpkg -x squashfs-tools_*.deb tools
sqfstar=$PWD/tools/usr/bin/sqfstar
unsquashfs=$PWD/tools/usr/bin/unsquashfs

mkdir root
echo hello >root/file
setfacl -m u:33:r root/file
chmod 0750 root
tar -C root --acls --xattrs --format=posix --owner=7 --group=7 --mtime=@0 -cf root.tar .
tar --numeric-owner -tvf root.tar | grep '^drwxr-x--- 7/7 .* 1970-01-01 .* \./$'

"$sqfstar" -exit-on-error one.sqfs <root.tar >log 2>&1 || { echo "sqfstar refuses the ACL now: $(cat log)"; exit 1; }
grep 'Unrecognised tar xattr prefix system.posix_acl_access' log || { echo "sqfstar says nothing of the ACL now: $(cat log)"; exit 1; }
root=$("$unsquashfs" -lln one.sqfs | grep ' squashfs-root$')
echo "$root"
case $root in
drwxrwxrwx*" 0/0 "*) ;;
*) echo "the root directory is another one now"; exit 1 ;;
esac
if "$unsquashfs" -lln one.sqfs | grep ' squashfs-root$' | grep 1970-01-01; then
	echo "the root directory has the archive's time now"
	exit 1
fi
echo "as found: 0777, uid 0, the time of the run; the ACL is gone, exit code 0"
