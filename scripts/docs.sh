#!/bin/bash
# Generates docs/recipe.md from the recipe's types: scripts/docs.sh write|check
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
cargo run --locked --quiet -- schema --markdown >"$new"
case ${1:-} in
  write) cp "$new" docs/recipe.md ;;
  check)
    diff -u docs/recipe.md "$new" || {
      echo "docs/recipe.md is not current: run \`make docs\`" >&2
      exit 1
    }
    ;;
  *) echo "usage: $0 write|check" >&2; exit 2 ;;
esac
