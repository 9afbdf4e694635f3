#!/bin/sh
# QEMU for appliances of others' programs. A kernel that takes the HPET for its timer waits for
# interrupts that do not come where the host is busy (see `src/guest`).
case "$(uname -m) $* " in
'x86_64 '*' -append '*) set -- "$@" -machine hpet=off ;;
esac
exec "qemu-system-$(uname -m)" "$@"
