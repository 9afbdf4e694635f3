#!/bin/bash
# Builds dist/imgforge_VERSION_ARCH.deb: scripts/deb.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
scripts/install.sh "$root" /usr "$1"
mkdir -p "$root/DEBIAN" dist
cat >"$root/DEBIAN/control" <<END
Package: imgforge
Version: $version
Architecture: $arch
Maintainer: imgforge <imgforge@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: libc6, libgcc-s1, libvirt0, libguestfs0, libvirt-daemon, libvirt-daemon-driver-qemu, passt, mmdebstrap,
 distro-info-data, uidmap, qemu-system-x86, qemu-utils, virtinst, supermin, gpg, gpg-agent, xz-utils, util-linux,
 e2fsprogs, fdisk, dosfstools, mtools, debian-archive-keyring
Recommends: ovmf, ubuntu-keyring, linux-image-$arch | linux-image-virtual
Suggests: guestfs-tools
Description: golden machine images, built once, proven, published signed
 imgforge turns a short recipe into a golden image: an unattended installation,
 a configuration layer that runs inside the booted guest, a sealed and trimmed
 disk, a gate that proves the result, and a signed repository that stock
 virt-builder clients consume.
END
dpkg-deb --root-owner-group --build "$root" "dist/imgforge_${version}_$arch.deb" >&2
