#!/bin/bash
# Builds the docs as a site below target/site: scripts/site.sh [DIRECTORY]
# Any static server takes it, and it works as files, too. Broken links end it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/site-venv
out=${1:-target/site}
if ! cmp -s scripts/site.txt "$venv/installed.txt"; then
  python3 -m venv "$venv" || {
    echo "python3's module venv is missing: apt-get install python3-venv" >&2
    exit 3
  }
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r scripts/site.txt
  cp scripts/site.txt "$venv/installed.txt"
fi
# The workflows that pages show, by the services' own schemas.
shown=$(mktemp -d)
trap 'rm -r "$shown"' EXIT
scripts/pages.py files docs/how-to/gitlab.md "$shown"
scripts/pages.py files docs/how-to/github-actions.md "$shown"
"$venv/bin/check-jsonschema" --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci "$shown/.gitlab-ci.yml"
"$venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows "$shown/.github/workflows/images.yml"
NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --strict --clean --site-dir "$PWD/$out"
# A page of another host would be asked by the reader's browser.
if grep -rnoE '(<link [^>]*href| src)="?(https?:)?//[^" >]*' "$out" --include='*.html'; then
  echo "the site names files of other hosts" >&2
  exit 1
fi
echo "$out/index.html"
