#!/bin/bash
# Checks what deny.toml says: licences, bans and sources of all crates, and the published advisories where they can be
# fetched. `scripts/deps.sh audit` installs cargo-deny.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/${CARGO_TARGET_DIR:-target}/cargo-deny/bin:$PATH
deny() { cargo deny --workspace --locked "$@"; }

deny check bans licenses sources
# RustSec's list is a Git repository outside of the registry, which not every host may reach.
if cargo deny fetch db; then
  deny --offline check advisories
else
  echo "audit: the advisories cannot be fetched from here and were NOT checked" >&2
fi
