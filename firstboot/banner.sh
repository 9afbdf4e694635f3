#!/bin/sh
# Greets at login with the system's name.
set -eu
# shellcheck disable=SC1091 # the guest's
. /etc/os-release
printf 'Welcome to %s.\n' "${PRETTY_NAME:-Linux}" >/etc/motd
