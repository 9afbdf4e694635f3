#!/bin/bash
# Builds the shipped recipes for real, pulls them with the stock virt-builder and boots what came:
# scripts/e2e.sh IMAGE…
set -euo pipefail
cd "$(dirname "$0")/.."
imgforge=$(realpath -m "${IMGFORGE:-target/release/imgforge}")
[ $# -gt 0 ] || { echo "usage: $0 IMAGE…" >&2; exit 2; }

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

# The user of research-instance has a key.
ssh-keygen -q -t ed25519 -N '' -C somebody -f "$world/key"
key=$(cat "$world/key.pub")
echo "$key" >>"$world/ansible/research.pub"
done=()

for image; do
	echo "== $image: build and publish"
	began=$SECONDS
	"$imgforge" -C "$world" build "$image" --publish
	took=$((SECONDS - began))
	blob=$(du -m "$world/repo/images/$image"/*/*.xz | tail -n 1 | cut -f1)
	echo "== $image: pull, onto a larger disk"
	virt-builder --list | grep -F "$image"
	virt-builder "$image" --size 16G --output "$world/pulled.raw"
	for firmware in bios uefi; do
		echo "== $image: boot with $firmware"
		boot "$world/pulled.raw" "$firmware"
	done
	case $image in
	research-*)
		virt-cat -a "$world/pulled.raw" /home/research/.ssh/authorized_keys | grep -qxF "$key" ||
			{ echo "the user's key is not in $image" >&2; exit 1; }
		;;
	esac
	done+=("$image: built in $took s, $blob MiB packed, $(du -m "$world/pulled.raw" | cut -f1) MiB on the disk")
	rm "$world/pulled.raw"
done
echo "== done"
printf '%s\n' "${done[@]}"
