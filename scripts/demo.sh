#!/bin/bash
# Builds a recipe, publishes it below demo/, and says how to use it: scripts/demo.sh [--notice] IMAGE
# With --notice: says what is going to happen, and how long it takes.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$1" = --notice ]; then
	cat >&2 <<-END
		make demo, in three steps:
		  1. packages that are missing, through apt                  4 minutes on a new machine, else seconds
		  2. imgforge itself, by cargo                               about 12 minutes the first time
		  3. $2: install, configure, seal, check, pack, publish
		                                                             about 15 minutes
		Measured on 2 busy processors without hardware virtualization.
	END
	exit
fi
image=$1
target/release/imgforge --state demo/state build "$image" --publish
repo=$PWD/demo/repo
cat <<END

$image is in the signed repository $repo. To use it:

  mkdir -p ~/.config/virt-builder/repos.d
  cat > ~/.config/virt-builder/repos.d/imgforge.conf <<'CONF'
  [imgforge]
  uri=file://$repo/index.asc
  gpgkey=file://$repo/imgforge.gpg
  CONF
  virt-builder --list
  virt-builder $image --size 6G -o $image.qcow2 --format qcow2

Any web server can serve the directory. Built and published again only when something changed: make demo
END
