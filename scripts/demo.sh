#!/bin/bash
# Builds a recipe, publishes it below demo/, and says how to use it: scripts/demo.sh IMAGE
set -euo pipefail
cd "$(dirname "$0")/.."
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
