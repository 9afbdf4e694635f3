#!/bin/sh
# Takes QEMU's place where an ordinary user's libvirt daemon starts it (@VERSION@): it gets a network
# without this host's services, which pasta connects to the world.
set -eu
case " $* " in
*" -uuid "*) ;;
# libvirt asks what it can do.
*) exec @QEMU@ "$@" ;;
esac
if [ -z "${IMGFORGE_APART-}" ]; then
  IMGFORGE_APART=1 exec unshare --user --map-current-user --keep-caps --mount --net -- /bin/sh "$0" "$@"
fi
unset IMGFORGE_APART
# A name server on this host's loopback is not there for QEMU: pasta passes on what it is asked.
case $(sed -n 's/^[[:space:]]*nameserver[[:space:]]\{1,\}\([0-9.]*\)[[:space:]]*$/\1/p' /etc/resolv.conf 2>&1 | head -n 1) in
127.*) mount --bind "${0%/*}/resolv.conf" /etc/resolv.conf ;;
esac
exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs -- @QEMU@ "$@"
