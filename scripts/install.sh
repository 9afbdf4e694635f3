#!/bin/bash
# Installs program, pages, completions and recipes: scripts/install.sh DESTDIR PREFIX PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
root=$1$2 program=$3
install -D -s -m 755 "$program" "$root/bin/imgforge"
install -d "$root/share/man/man1" "$root/share/imgforge" "$root/share/doc/imgforge"
"$program" man -o "$root/share/man/man1"
for page in "$root"/share/man/man1/*.1; do gzip -9nf "$page"; done
complete() { install -d "$(dirname "$root/share/$2")"; "$program" completions "$1" >"$root/share/$2"; }
complete bash bash-completion/completions/imgforge
complete zsh zsh/site-functions/_imgforge
complete fish fish/vendor_completions.d/imgforge.fish
for folder in recipes preseed kickstart autoinstall firstboot ansible puppet; do
  if [ -d "$folder" ]; then cp -RT --no-preserve=ownership "$folder" "$root/share/imgforge/$folder"; fi
done
install -m 644 README.md SECURITY.md CHANGELOG.md docs/*.md "$root/share/doc/imgforge/"
for folder in tutorials how-to explanation coming-from assets; do
  cp -RT --no-preserve=ownership "docs/$folder" "$root/share/doc/imgforge/$folder"
done
cp -RT --no-preserve=ownership docs/systemd "$root/share/doc/imgforge/systemd"
