#!/bin/sh
# Takes QEMU's place where root's private daemon starts it. QEMU keeps root's user id, but of root's
# capabilities only the one to read; it sees its own devices, and may write to its guest's disks and
# sockets. Everything else of the host is read-only or, where it would help QEMU out, not there.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
runtime=@RUNTIME@
if [ -z "${IMGFORGE_CONFINED-}" ]; then
  IMGFORGE_CONFINED=1 exec unshare --mount -- /bin/sh "$0" "$@"
fi
unset IMGFORGE_CONFINED

# The guest's directory: its sockets, and a list of the disks that it writes to. libvirt also starts
# QEMU without a guest, to ask what it can do.
last='' guest=
for word; do
  if [ "$last" = -uuid ]; then guest=$runtime/$(echo "$word" | cut -c 1-8); fi
  last=$word
done

mount --rbind "$runtime" "$runtime"
new=$runtime/libvirt/confined
mkdir -p "$new"
mount -t tmpfs -o mode=0755 confined "$new"
mkdir "$new/dev" "$new/dev/net" "$new/dev/shm" "$new/run" "$new/guest"
if [ -d "$guest" ]; then mount --bind "$guest" "$new/guest"; fi
for device in null zero full random urandom kvm net/tun; do
  if [ -e "/dev/$device" ]; then
    : >"$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  fi
done
# Of /run, where root's services have their sockets, only name servers and imgforge's own stay.
for kept in /run/systemd/resolve /run/resolvconf /run/NetworkManager "$runtime"; do
  case $kept in
  /run/*)
    if [ -d "$kept" ]; then
      mkdir -p "$new$kept"
      mount --rbind "$kept" "$new$kept"
      mount -o remount,bind,ro "$new$kept"
    fi
    ;;
  esac
done

mounts=$(cat /proc/self/mountinfo)
while read -r _ _ _ _ at options _; do
  at=$(printf '%b' "$at")
  case $at in
  # Its own, or out of sight in a moment.
  "$new" | "$new"/* | /dev | /dev/* | /run | /run/*) continue ;;
  # The daemon's, and no other's.
  /var/lib/libvirt | /var/lib/libvirt/qemu | /var/cache/libvirt | /var/log/libvirt) continue ;;
  esac
  if mountpoint -q "$at"; then mount -o "remount,bind,$options,ro" "$at"; fi
done <<END
$mounts
END
if [ -f "$guest/writable" ]; then
  while read -r disk; do
    mount --bind "$disk" "$disk"
    mount -o remount,bind,rw "$disk"
  done <"$guest/writable"
fi
mount --rbind "$new/dev" /dev
mount --rbind "$new/run" /run
if [ -d "$guest" ]; then mount --bind "$new/guest" "$guest"; fi

# The daemon does for root whatever it is asked, and keys are not QEMU's business. The others are
# second ways, which can be written to, to what is read-only at its own place.
for hidden in "$runtime/libvirt/run" "$runtime/libvirt/lib" "$runtime/libvirt/confined" /run/libvirt@HIDDEN@; do
  if [ -d "$hidden" ]; then mount -t tmpfs -o ro,size=4k hidden "$hidden"; fi
done
exec setpriv --bounding-set=-all,+dac_read_search --inh-caps=-all --ambient-caps=-all --no-new-privs -- \
  "$runtime/qemu" "$@"
