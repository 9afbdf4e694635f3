#!/bin/bash
# Generates docs/recipe.md and the table of docs/targets.md from the program's types, and the list of modules
# in docs/architecture.md from the sources; docs/commands.md from what the program says of itself: scripts/docs.sh write|check
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(mktemp -d)
trap 'rm -r "$new"' EXIT
cargo run --locked --quiet -- schema --markdown >"$new/recipe.md"
scripts/modules.py >"$new/architecture.md"
scripts/commands.py "${CARGO_TARGET_DIR:-target}/debug/imgforge" >"$new/commands.md"
{
  sed '/^<!-- targets -->$/q' docs/targets.md
  cargo run --locked --quiet -- schema --targets
  sed -n '/^<!-- end of targets -->$/,$p' docs/targets.md
} >"$new/targets.md"
case ${1:-} in
  write) cp "$new"/*.md docs/ ;;
  check)
    for page in recipe architecture targets commands; do
      diff -u "docs/$page.md" "$new/$page.md" || {
        echo "docs/$page.md is not current: run \`make docs\`" >&2
        exit 1
      }
    done
    ;;
  *) echo "usage: $0 write|check" >&2; exit 2 ;;
esac
