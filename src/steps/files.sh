# Unpacks the step's payload at / and gives the files their owner. `paths` lists them.
# shellcheck shell=sh
root=${IMGFORGE_ROOT:-}
payload | tar -xf - -C "${root:-/}"
while IFS= read -r path; do
	if [ -s "$STEP/owner" ]; then chown -h "$(cat "$STEP/owner")" "$root$path"; fi
	relabel "$root$path"
	printf '%s\n' "$path"
done <"$STEP/paths"
