# Starts a program of root's on files of others, in name spaces that imgforge has made: it sees these
# files, the system's programs, and nothing else of this host, and may do nothing that another user may
# not. First come the capabilities that it keeps, as setpriv(1) takes them, then the files, each after `r`
# or `w`, then `--`, then the program with its words.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
bound=$1 files=()
shift
while [ "$1" != -- ]; do
  files+=("$1" "$2")
  shift 2
done
shift

# Where the new root is put: nothing that is shown may be hidden by it.
hides() {
  local at
  for at in "${files[@]}"; do case $at in "$1" | "$1"/*) return 0 ;; esac; done
  return 1
}
for new in /mnt /srv /media /run /opt /home /tmp /none; do
  if [ -d "$new" ] && [ ! -L "$new" ] && ! hides "$new"; then break; fi
done
mount -t tmpfs -o mode=0755,nosuid,size=4m apart "$new"

# Programs are started one by one, and that is all that takes time here: what can be done at once, is.
show() {
  local at=$new$2 dir
  if [ -d "$2" ]; then dir=$at; else dir=${at%/*}; fi
  [ -d "$dir" ] || mkdir -p "$dir"
  [ -e "$at" ] || : >"$at"
  mount --bind "$2" "$at"
  # In two steps: a bind that is read-only at once loses nosuid and nodev, which may not be taken off here.
  [ "$1" = w ] || mount -o remount,bind,ro "$at"
}

mkdir -p "$new/dev/fd" "$new/etc" "$new/usr"
links=()
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then
    links+=("$name")
  elif [ -d "/$name" ]; then
    show r "/$name"
  fi
done
if [ ${#links[@]} != 0 ]; then cp -P "${links[@]/#//}" "$new"; fi
for name in /usr /nix/store /gnu/store /etc/alternatives /etc/ld.so.cache /etc/ld.so.conf.d; do
  if [ -e "$name" ]; then show r "$name"; fi
done
for name in null zero full random urandom; do show w "/dev/$name"; done
# What it may call /dev/stdout is its own: of /proc it sees what it has open, by the number that it has
# in the one of this host. Not every container can have another.
if { read -r self _ </proc/self/stat && mount --bind "/proc/$self/fd" "$new/dev/fd"; } 2>/dev/null; then
  ln -s fd/1 "$new/dev/stdout"
fi
# What is written may be a directory in which something lies that is only read.
for mode in w r; do
  for ((at = 0; at < ${#files[@]}; at += 2)); do
    if [ "${files[at]}" = "$mode" ]; then show "$mode" "${files[at + 1]}"; fi
  done
done
here=$PWD
[ -d "$new$here" ] || mkdir -p "$new$here"
mount -o remount,ro "$new"
exec chroot "$new" env -C "$here" setpriv --bounding-set="$bound" --inh-caps=-all --ambient-caps=-all --no-new-privs -- "$@"
