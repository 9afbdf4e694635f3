#!/bin/bash
# umoci gc deletes the layers of an image that the layout lists, if its manifest has Docker's media type
#
# Seen with: umoci 0.4.7+ds-3+b7, skopeo 1.9.3+ds1-1+b10 (Debian 12).
# Behaviour: `umoci gc` removes blobs "that are not reachable from a descriptor path" (umoci-gc(1)). A layout's index
#   may list manifests of any type, and Docker's schema 2 is compatible with OCI's manifest (OCI image specification,
#   "OCI Image Media Types", compatibility matrix). `skopeo copy --preserve-digests`, which keeps a copy's signatures
#   valid, writes such a layout. umoci follows the descriptors of types that it knows, and none from this manifest:
#   configuration and layers are deleted, the manifest stays listed. The exit code is 0, and nothing is said.
# Output seen: "oci: umoci ls has one, 3 blobs before, 3 after", "docker: umoci ls has one, 3 blobs before, 1 after".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download umoci=0.4.7+ds-3+b7 skopeo=1.9.3+ds1-1+b10 libgpgme11=1.18.0-3+deb12u1 libassuan0=2.5.5-5 \
  libdevmapper1.02.1=2:1.02.185-2
for package in *.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu:$PWD/tools/lib/x86_64-linux-gnu
PATH=$PWD/tools/usr/bin:$PATH
umoci --version
# An image of one layer as a folder (containers-transports(5)), in the types of either.
python3 - <<'PY'
import gzip
import hashlib
import io
import json
import os
import tarfile

TYPES = {
    "oci": ("vnd.oci.image.manifest.v1+json", "vnd.oci.image.config.v1+json", "vnd.oci.image.layer.v1.tar+gzip"),
    "docker": (
        "vnd.docker.distribution.manifest.v2+json",
        "vnd.docker.container.image.v1+json",
        "vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    member = tarfile.TarInfo("file")
    member.size = 6
    tar.addfile(member, io.BytesIO(b"hello\n"))
diff_id = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
config = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    "history": [{"created": "2026-01-01T00:00:00Z"}],
}
for name, types in TYPES.items():
    os.mkdir(name)
    manifest_type, config_type, layer_type = (f"application/{kind}" for kind in types)

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{name}/{digest}", "wb") as file:
            file.write(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": blob(config_type, json.dumps(config).encode()),
        "layers": [blob(layer_type, gzip.compress(layer.getvalue(), mtime=0))],
    }
    with open(f"{name}/manifest.json", "w") as file:
        json.dump(manifest, file)
    with open(f"{name}/version", "w") as file:
        file.write("Directory Transport Version: 1.1\n")
PY
blobs() { find "$1" -path '*/sha256/*' | wc -l; }
# try NAME BLOBS: how many blobs are left
try() {
  skopeo --insecure-policy copy -q --preserve-digests "dir:$1" "oci:layout-$1:one"
  skopeo inspect --raw "dir:$1" | cmp - "layout-$1/blobs/sha256/$(sha256sum <"$1/manifest.json" | cut -d ' ' -f 1)"
  local before said
  before=$(blobs "layout-$1")
  umoci gc --layout "layout-$1" >said 2>&1 || { cat said; echo "umoci refuses it now"; exit 1; }
  [ ! -s said ] || { cat said; echo "umoci says something now"; exit 1; }
  said="$1: umoci ls has $(umoci ls --layout "layout-$1"), $before blobs before, $(blobs "layout-$1") after"
  echo "$said"
  [ "$said" = "$1: umoci ls has one, 3 blobs before, $2 after" ] || { echo "that has changed"; exit 1; }
}
try oci 3
try docker 1
