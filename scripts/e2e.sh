#!/bin/bash
# Builds the shipped recipes for real, pulls them with the stock virt-builder and boots what came:
# scripts/e2e.sh [IMAGE…]. Without IMAGE, the longest tests run first.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
	set -- debian-mini ubuntu-base node-base compute-node network-node storage-node \
		research-instance research-desktop
	echo "== tests that are too long for make test-vm"
	cargo test --locked --test it -- --ignored --test-threads=1 e2e_ --skip target::
fi

# On a disk, not in memory; libvirt and gpg dislike long paths.
world=$(mktemp -d /var/tmp/imgforge-e2e.XXXXXX)
trap 'rm -rf "$world"' EXIT
cp -a recipes firstboot ansible puppet "$world"
printf 'state: state\nrepositories: {main: {path: repo}}\n' >"$world/imgforge.yaml"

mkdir -p "$world/xdg/virt-builder/repos.d"
cat >"$world/xdg/virt-builder/repos.d/imgforge.conf" <<END
[imgforge]
uri=file://$world/repo/index.asc
gpgkey=file://$world/repo/imgforge.gpg
END
export XDG_CONFIG_HOME=$world/xdg XDG_CACHE_HOME=$world/cache VIRT_BUILDER_DIRS=/nonexistent
# Works on every host; a useless /dev/kvm would hang it.
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg

# shellcheck source=scripts/boot.sh
. scripts/boot.sh

for image; do
	echo "== $image: build and publish"
	target/release/imgforge -C "$world" build "$image" --publish
	echo "== $image: pull, onto a larger disk"
	virt-builder --list | grep -F "$image"
	virt-builder "$image" --size 16G --output "$world/pulled.raw"
	for firmware in bios uefi; do
		echo "== $image: boot with $firmware"
		boot "$world/pulled.raw" "$firmware"
	done
	rm "$world/pulled.raw"
done
echo "== done: $*"
