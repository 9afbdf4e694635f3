#!/bin/sh
# A passphrase for the image's user that this machine alone has, told on its console.
set -eu
user=$(cat /etc/research-user)
passphrase=$(head -c 12 /dev/urandom | base64 | tr '+/' 'xy')
printf '%s:%s\n' "$user" "$passphrase" | chpasswd
printf '\r\n%s: log in as %s with the passphrase %s\r\n' "$(hostname)" "$user" "$passphrase" >/dev/console
