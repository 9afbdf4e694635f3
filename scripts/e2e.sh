#!/bin/bash
# Builds the shipped recipes for real, pulls them with the stock virt-builder and boots what came:
# scripts/e2e.sh [IMAGE…]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- debian-mini ubuntu-base

# On a disk, not in memory; libvirt and gpg dislike long paths.
world=$(mktemp -d /var/tmp/imgforge-e2e.XXXXXX)
trap 'rm -rf "$world"' EXIT
cp -a recipes firstboot "$world"
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

# Boots a throw-away overlay of disk $1 with firmware $2 and waits for a login prompt.
boot() {
	local overlay=$world/$2.qcow2 console=$world/$2.console code args=() said seen=
	qemu-img create -q -f qcow2 -F raw -b "$1" "$overlay"
	if [ "$2" = uefi ]; then
		code=/usr/share/OVMF/OVMF_CODE_4M.fd
		[ -e "$code" ] || code=/usr/share/OVMF/OVMF_CODE.fd
		cp "${code/CODE/VARS}" "$world/vars.fd"
		args=(-drive "if=pflash,format=raw,readonly=on,file=$code"
			-drive "if=pflash,format=raw,file=$world/vars.fd")
	fi
	mkfifo "$console"
	timeout 600 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
		-display none -no-reboot "${args[@]}" -serial stdio \
		-drive "file=$overlay,format=qcow2,if=virtio,cache=unsafe" </dev/null >"$console" 2>&1 &
	# The prompt has no line end, but a colon.
	while IFS= read -r -d : said; do
		printf '%s:' "$said" >>"$world/$2.log"
		case $said in *login) seen=yes && break ;; esac
	done <"$console"
	kill $! 2>/dev/null || :
	wait $! || :
	rm -f "$overlay" "$console"
	[ -n "$seen" ] || {
		tail -n 40 "$world/$2.log" >&2
		echo "$1 did not boot to a login prompt with $2" >&2
		return 1
	}
}

for image; do
	echo "== $image: build and publish"
	target/release/imgforge -C "$world" build "$image" --publish
	echo "== $image: pull, onto a larger disk"
	virt-builder --list | grep -F "$image"
	virt-builder "$image" --size 6G --output "$world/pulled.raw"
	for firmware in bios uefi; do
		echo "== $image: boot with $firmware"
		boot "$world/pulled.raw" "$firmware"
	done
	rm "$world/pulled.raw"
done
echo "== done: $*"
