#!/bin/bash
# Takes QEMU's place where root's private daemon starts it. A guest's QEMU is nobody: a user id of
# its own that no user has, without capabilities, in a network without this host's services. Its
# disks are opened for it, those that its guest writes to for writing; it sees its own devices and
# sockets, and everything else of the host is read-only or, where it would help QEMU out, not there.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
runtime=@RUNTIME@

# The guest's directory: its sockets, and a list of the disks that it writes to. libvirt also starts
# QEMU without a guest, to ask what it can do: with root's user id, as it leaves its answer in a file.
guest='' last=''
for word; do
  if [ "$last" = -uuid ]; then guest=$runtime/${word:0:8}; fi
  last=$word
done

# Gives QEMU an open file in place of a disk's path.
disk() {
  local before=${1%%'"filename":"'*} file=${1#*'"filename":"'} fd
  local after=${file#*\"}
  file=${file%%\"*}
  file=${file//\\\//\/}
  set=$((set + 1))
  exec {fd}<"$file"
  fds+=(-add-fd "set=$set,fd=$fd")
  if [[ $file == "$guest"/* ]] || grep -qxFe "$file" "$guest/writable"; then
    exec {fd}<>"$file"
    fds+=(-add-fd "set=$set,fd=$fd")
  fi
  word="$before\"filename\":\"/dev/fdset/$set\"$after"
}

# A kernel or a RAM disk: QEMU takes a path only.
boot() {
  local fd
  if (($(stat -L -c '0%a' "$1") & 4)); then
    exec {fd}<"$1"
    word=/proc/self/fd/$fd
  else
    word=$guest/${last#-}
    cp -- "$1" "$word"
  fi
}

if [ -z "${IMGFORGE_CONFINED-}" ]; then
  owner=0 args=() fds=() set=0 last=''
  if [ -d "$guest" ]; then
    owner=$((0x70000000 + 0x${guest: -6}))
    # Not every container has so high user ids.
    setpriv --reuid "$owner" --clear-groups true 2>/dev/null || owner=65534
    for word; do
      case $last:$word in
      -blockdev:*'"filename":"'*) disk "$word" ;;
      -kernel:* | -initrd:*) boot "$word" ;;
      -object:*'"file":"/var/lib/libvirt/qemu/domain-'*)
        # libvirt's own key, which it made a moment ago.
        own=${word#*'"file":"'}
        own=${own%%\"*}
        chown "$owner" "$own"
        chmod 0711 "${own%/*}"
        ;;
      esac
      args+=("$word")
      last=$word
    done
    # What is there is QEMU's, and nothing can be put there: root trusts the names.
    : >"$guest/screen.png"
    chmod 0711 "$guest"
    chown -h "$owner" "$guest"/*
    set -- "${fds[@]}" "${args[@]}"
  fi
  IMGFORGE_CONFINED=$owner exec unshare --mount -- /bin/bash "$0" "$@"
fi
owner=$IMGFORGE_CONFINED
unset IMGFORGE_CONFINED

mount --rbind "$runtime" "$runtime"
new=$runtime/libvirt/confined
mkdir -p "$new"
mount -t tmpfs -o mode=0755 confined "$new"
mkdir "$new/dev" "$new/dev/net" "$new/dev/shm" "$new/run" "$new/runtime"
: >"$new/runtime/qemu"
mount --bind "$runtime/qemu" "$new/runtime/qemu"
if [ -d "$guest" ]; then
  mkdir "$new/runtime/${guest##*/}"
  mount --bind "$guest" "$new/runtime/${guest##*/}"
fi
for device in null zero full random urandom kvm net/tun; do
  if [ -e "/dev/$device" ]; then
    : >"$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  fi
done
# Root's group opens what is root's.
groups=(--groups "$(stat -c %g /dev/kvm 2>/dev/null || echo 0)")
if [ "${groups[1]}" = 0 ]; then groups=(--clear-groups); fi
# Of /run, where root's services have their sockets, only name servers and imgforge's own stay.
for kept in /run/systemd/resolve /run/resolvconf /run/NetworkManager; do
  if [ -d "$kept" ]; then
    mkdir -p "$new$kept"
    mount --rbind "$kept" "$new$kept"
    mount -o remount,bind,ro "$new$kept"
  fi
done

mounts=$(cat /proc/self/mountinfo)
while read -r _ _ _ _ at options _; do
  at=$(printf '%b' "$at")
  case $at in
  # Its own, or out of sight in a moment.
  "$new" | "$new"/* | /dev | /dev/* | /run | /run/*) continue ;;
  # The daemon's, and no other's.
  /var/lib/libvirt | /var/lib/libvirt/qemu | /var/cache/libvirt | /var/log/libvirt) continue ;;
  # Nobody changes nothing there, and unshare(1) writes the map of its user ids.
  /proc) [ "$owner" = 0 ] || continue ;;
  esac
  if mountpoint -q "$at"; then mount -o "remount,bind,$options,ro" "$at"; fi
done <<END
$mounts
END
mount --rbind "$new/dev" /dev
# Keys are not QEMU's business.
# shellcheck disable=SC2043 # one word only here
for hidden in @HIDDEN@; do
  if [ -d "$hidden" ]; then mount -t tmpfs -o ro,size=4k hidden "$hidden"; fi
done
cp "$runtime/libvirt/resolv.conf" "$new/runtime"
case $runtime in
/run/*)
  mkdir -p "$new$runtime"
  mount --rbind "$new/runtime" "$new$runtime"
  mount --rbind "$new/run" /run
  ;;
*)
  mount --rbind "$new/run" /run
  mount --rbind "$new/runtime" "$runtime"
  ;;
esac
# A name server on this host's loopback is not there for QEMU: pasta passes on what it is asked.
case $(sed -n 's/^[[:space:]]*nameserver[[:space:]]\{1,\}\([0-9.]*\)[[:space:]]*$/\1/p' /etc/resolv.conf 2>&1 | head -n 1) in
127.*) mount --bind "$runtime/resolv.conf" /etc/resolv.conf ;;
esac

nothing=(setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs)
if [ "$owner" = 0 ]; then exec "${nothing[@]}" -- "$runtime/qemu" "$@"; fi
exec setpriv --reuid "$owner" --regid "$owner" "${groups[@]}" \
  --inh-caps=-all,+sys_admin --ambient-caps=-all,+sys_admin -- \
  unshare --user --map-current-user --keep-caps --net -- "${nothing[@]}" -- "$runtime/qemu" "$@"
