#!/bin/sh
# Runs while the image is built, inside the booted guest. The recipe's variables are in the environment.
set -eu
echo "This machine belongs to $IMGFORGE_VAR_ORGANISATION." > /etc/motd
