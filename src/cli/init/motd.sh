#!/bin/sh
# Runs inside the guest, at its first boot. The recipe's variables are in the environment.
set -eu
echo "This machine belongs to $IMGFORGE_VAR_ORGANISATION." > /etc/motd
