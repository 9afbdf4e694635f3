#!/bin/bash
# Takes QEMU's place where root starts it (@VERSION@): for root's private daemon, for libguestfs, and to try a
# ramdisk. A guest's QEMU is nobody: a user id of its own that no user has, without capabilities, in a
# network without this host's services. Its disks are opened for it, those that its guest writes to for
# writing; it sees its own devices and sockets, and everything else of the host is read-only or, where
# it would help QEMU out, not there.
set -eu -o pipefail
# What is made here is for nobody to read, too.
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
runtime=@RUNTIME@
qemu=@QEMU@
# Devices below /dev that run guests' instructions.
accelerators=(@ACCELERATORS@)

# Whether a daemon starts it, whose guests get a network.
daemon() { [ -d "$runtime/libvirt" ]; }

# The guest's directory: for a daemon's its sockets, and a list of the disks that it writes to. libvirt and
# libguestfs also start QEMU without a guest, to ask what it can do: with root's user id, as libvirt
# has it leave its answer in a file.
guest=$runtime/none last=''
for word; do
  if [ "$last" = -uuid ]; then guest=$runtime/${word:0:8}; fi
  last=$word
done

# Opens a file for QEMU, for writing too if there is a second word: there it is /dev/fdset/$set.
hand_over() {
  local fd
  set=$((set + 1))
  exec {fd}<"$1"
  fds+=(-add-fd "set=$set,fd=$fd")
  if [ -n "$2" ]; then
    exec {fd}<>"$1"
    fds+=(-add-fd "set=$set,fd=$fd")
  fi
}

# A disk as libvirt names it, which names those below it as well.
disk() {
  local before=${1%%'"filename":"'*} file=${1#*'"filename":"'} writable=''
  local after=${file#*\"}
  file=${file%%\"*}
  file=${file//\\\//\/}
  if [[ $file == "$guest"/* ]] || grep -qxFe "$file" "$guest/writable"; then writable=1; fi
  hand_over "$file" "$writable"
  word="$before\"filename\":\"/dev/fdset/$set\"$after"
}

# A disk as libguestfs names it: two commas stand for one. QEMU would open those below it by their names,
# which a guest may have chosen: imgforge has left a list of the disk and those, each after its format.
drive() {
  local options=${1//,,/$'\1'} name=${1%%=*} file writable=1 list level at
  local -a layers=()
  file=${options%%,*}
  file=${file#*=}
  file=${file//$'\1'/,}
  options=,${options#*,}
  level=${name%file.filename}
  level=${level%file}
  case $options, in *,snapshot=on,*) writable='' ;; esac
  list=${options##*,id=}
  list=$guest/layers-${list%%,*}
  if [ -e "$list" ]; then mapfile -d '' -t layers <"$list"; fi
  hand_over "$file" "$writable"
  word=$name=/dev/fdset/$set${options//$'\1'/,,}
  # One that is only read is below an overlay of libguestfs'.
  if [ "$name" = file ]; then at=2; else at=0; fi
  for (( ; at < ${#layers[@]}; at += 2)); do
    level+=backing.
    hand_over "${layers[at + 1]}" ''
    word+=",${level}driver=${layers[at]},${level}file.filename=/dev/fdset/$set"
  done
}

readable() { (($(stat -L -c '0%a' -- "$1") & 4)); }

# A kernel or a RAM disk: QEMU takes a path only.
boot() {
  local fd file=$1
  if ! readable "$file"; then
    file=$guest/${last#-}
    cp -- "$1" "$file"
  fi
  exec {fd}<"$file"
  word=/proc/self/fd/$fd
}

# The files here, for the web server of a ramdisk, which takes names as well.
serve() {
  local file
  mkdir -m 0755 "$guest/site"
  for file in *; do
    if readable "$file" && ln -- "$file" "$guest/site" 2>/dev/null; then continue; fi
    install -m 0644 -- "$file" "$guest/site"
  done
  cd "$guest/site"
}

# Starts QEMU, through the words of `between` if there are any.
start() {
  local nothing=(setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs)
  local device group opening='' groups=(--clear-groups)
  for device in "${accelerators[@]}"; do
    # Root's group opens what is root's.
    group=$(stat -c %g "/dev/$device" 2>/dev/null || echo 0)
    if [ "$group" != 0 ]; then opening+=${opening:+,}$group; fi
  done
  if [ -n "$opening" ]; then groups=(--groups "$opening"); fi
  local nobody=(--reuid "$owner" --regid "$owner" "${groups[@]}")
  # It ends with imgforge, as libguestfs' and the daemon's do by other means. The others look for their
  # firmware where they start, before they do where it is.
  if [ -d "$guest/site" ]; then nothing+=(--pdeathsig KILL); else cd /; fi
  if [ "$owner" = 0 ]; then exec "${nothing[@]}" -- "$qemu" "$@"; fi
  if [ ${#between[@]} = 0 ]; then exec "${nothing[@]}" "${nobody[@]}" -- "$qemu" "$@"; fi
  exec setpriv "${nobody[@]}" --inh-caps=-all,+sys_admin --ambient-caps=-all,+sys_admin -- \
    "${between[@]}" "${nothing[@]}" -- "$qemu" "$@"
}

# Where it leaves what is too large for its memory: a directory that has no name for it.
roomy() {
  local fd
  if [ -d "$1/tmp" ]; then
    exec {fd}<"$1/tmp"
    export TMPDIR=/proc/self/fd/$fd
  fi
}

if [ -z "${IMGFORGE_CONFINED-}" ]; then
  owner=0 args=() fds=() set=0 last='' served=''
  if [ -d "$guest" ]; then
    owner=$((0x70000000 + 0x${guest: -6}))
    # Not every container has so high user ids.
    setpriv --reuid "$owner" --clear-groups true 2>/dev/null || owner=65534
    for word; do
      case $last:$word in
      -blockdev:*'"filename":"'*) disk "$word" ;;
      -drive:file=* | -drive:file.file.filename=*) drive "$word" ;;
      -kernel:* | -initrd:*) boot "$word" ;;
      -netdev:*,guestfwd=*) served=1 ;;
      -object:*'"file":"/var/lib/libvirt/qemu/domain-'*)
        # libvirt's own key, which it made a moment ago.
        own=${word#*'"file":"'}
        own=${own%%\"*}
        chown "$owner" "$own"
        chmod 0711 "${own%/*}"
        ;;
      -chardev:socket,path=*/guestfsd.sock,*)
        # libguestfs' own, which listens already.
        own=${word#*path=}
        chown "$owner" "${own%%,id=*}"
        ;;
      esac
      args+=("$word")
      last=$word
    done
    # What is there is QEMU's, and nothing can be put there: root trusts the names.
    if daemon; then : >"$guest/screen.png"; else mkdir -m 0700 "$guest/tmp"; fi
    chmod 0711 "$guest"
    chown -h "$owner" "$guest"/*
    if [ -n "$served" ]; then serve; fi
    set -- "${fds[@]}" "${args[@]}"
  fi
  if daemon || unshare --mount -- unshare --user --net -- true 2>/dev/null; then
    IMGFORGE_CONFINED=$owner exec unshare --mount -- /bin/bash "$0" "$@"
  fi
  # Not every container may make name spaces.
  between=()
  roomy "$guest"
  start "$@"
fi
owner=$IMGFORGE_CONFINED
unset IMGFORGE_CONFINED

mount --rbind "$runtime" "$runtime"
new=$runtime/confined
mkdir -p "$new"
mount -t tmpfs -o mode=0755 confined "$new"
mkdir "$new/dev" "$new/dev/net" "$new/dev/shm" "$new/run" "$new/runtime"
if daemon; then cp "$runtime/libvirt/resolv.conf" "$new/runtime"; fi
if [ -d "$guest" ]; then
  mkdir "$new/runtime/${guest##*/}"
  mount --bind "$guest" "$new/runtime/${guest##*/}"
fi
# QEMU in a directory of root's own, or in /run, would be out of reach.
if daemon; then
  # A link to it may lie in /run.
  qemu=$(readlink -f -- "$qemu")
  reachable=(setpriv --reuid "$owner" --regid "$owner" --clear-groups test -x "$qemu")
  case $qemu in /run/*) reachable=(false) ;; esac
  if ! "${reachable[@]}"; then
    here=${qemu##*/}
    : >"$new/runtime/$here"
    mount --bind "$qemu" "$new/runtime/$here"
    mount -o remount,bind,ro "$new/runtime/$here"
    qemu=$runtime/$here
  fi
fi
for device in null zero full random urandom net/tun "${accelerators[@]}"; do
  if [ -e "/dev/$device" ]; then
    : >"$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  fi
done
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
  # It says \040 for a blank, where a digit may follow.
  printf -v at '%b' "${at//\\/\\0}"
  case $at in
  # Its own, or out of sight in a moment.
  "$new" | "$new"/* | /dev | /dev/* | /run | /run/*) continue ;;
  # The daemon's, and no other's.
  /var/lib/libvirt | /var/lib/libvirt/qemu | /var/cache/libvirt | /var/log/libvirt) ! daemon || continue ;;
  # Nobody changes nothing there, and unshare(1) writes the map of its user ids.
  /proc) [ "$owner" = 0 ] || continue ;;
  esac
  if mountpoint -q "$at"; then mount -o "remount,bind,$options,ro" "$at"; fi
done <<END
$mounts
END
# Keys are not QEMU's business. With sudo HOME may be another user's.
for hidden in @HIDDEN@ ~root/.gnupg ~root/.ssh; do
  if [ -d "$hidden" ]; then mount -t tmpfs -o ro,size=4k hidden "$hidden"; fi
done
roomy "$new/runtime/${guest##*/}"
between=(unshare --user --map-current-user --keep-caps --net --)
# QEMU talks to the web server over the loopback.
# shellcheck disable=SC2016 # its own words
if [ -d "$guest/site" ]; then between+=(sh -c 'busybox ip link set lo up && exec "$@"' up); fi
# Each may hide the other's name, or that of all of this.
daemon=''
if daemon; then daemon=$runtime; fi
case $daemon in
/run/*)
  mkdir -p "$new$runtime"
  mount --rbind "$new/runtime" "$new$runtime"
  ;;
esac
(cd "$new" && mount -c --rbind run /run && mount -c --rbind dev /dev)
case $daemon in
'' | /run/*) ;;
*) mount --rbind "$new/runtime" "$runtime" ;;
esac
if [ -n "$daemon" ]; then
  # A name server on this host's loopback is not there for QEMU: pasta passes on what it is asked.
  case $(sed -n 's/^[[:space:]]*nameserver[[:space:]]\{1,\}\([0-9.]*\)[[:space:]]*$/\1/p' /etc/resolv.conf 2>&1 | head -n 1) in
  127.*) mount --bind "$runtime/resolv.conf" /etc/resolv.conf ;;
  esac
fi
start "$@"
