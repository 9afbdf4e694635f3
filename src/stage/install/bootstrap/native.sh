# Runs on the host as the guest's root: `put TREE LIBRARIES` when the essential packages are in the tree, `take
# TREE LIBRARIES` when all are; LIBRARIES is the host's directory of libraries below /usr/lib. In between the
# programs that packages' scripts start most are the host's own, which QEMU's user mode takes five times as
# long for. Those that tell which machine it is stay the guest's.
set -eu
tree=$(realpath "$2") libraries=/usr/lib/$3
programs="dash cp mv rm ln ls mkdir rmdir cat sed grep chmod chown chgrp touch readlink dirname basename mktemp
  stat sort uniq cut tr head tail wc find xargs true false expr env id od date test printf seq tee cmp install
  realpath gzip dpkg-deb"

put() {
  [ -d "$libraries" ] && [ ! -e "$tree$libraries" ] || return 0
  mkdir "$tree$libraries"
  mount --bind "$libraries" "$tree$libraries"
  for loader in /lib64 /lib/ld-linux-*; do
    if [ ! -e "$loader" ] || [ -e "$tree$loader" ]; then continue; fi
    # A directory beside /usr would be a system that is not merged, to packages.
    if [ -d "$loader" ]; then
      mkdir "$tree/usr$loader"
      ln -s "usr$loader" "$tree$loader"
    else
      : >"$tree$loader"
    fi
    mount --bind "$loader" "$(realpath "$tree$loader")"
  done
  for name in true $programs; do
    file=/usr/bin/$name
    if [ ! -f "$file" ] || [ ! -f "$tree$file" ] || [ -L "$tree$file" ]; then continue; fi
    mount --bind "$file" "$tree$file"
    chroot "$tree" true || { umount "$tree$file"; return 0; }
  done
}

take() {
  mounts=$(cat /proc/self/mountinfo)
  while read -r _ _ _ _ at _; do
    case $at in
    "$tree/usr/bin/"*) umount "$at" ;;
    "$tree$libraries") umount "$at"; rmdir "$at" ;;
    "$tree/usr/lib64") umount "$at"; rmdir "$at"; rm "$tree/lib64" ;;
    "$tree/usr/lib/ld-linux-"*) umount "$at"; rm "$at" ;;
    esac
  done <<END
$mounts
END
}

"$1"
