#!/bin/sh
# Tells on the console that provisioning is done.
set -eu
printf '\r\n%s: provisioning is done, up for %s s\r\n' "$(hostname)" "$(cut -d. -f1 /proc/uptime)" >/dev/console
