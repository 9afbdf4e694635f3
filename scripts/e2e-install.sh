#!/bin/bash
# Installs Debian 13 by its own installer, twice, and boots the result: scripts/e2e-install.sh
#
# The second installation finds everything in the cache: it must fetch nothing that the first one
# had, and is timed against it. Some mirrors lack components of the installer: then a program
# di_mirror.py in IMGFORGE_DI_MIRROR (default: ../shared/di-mirror) serves a set that fits.
set -euo pipefail
cd "$(dirname "$0")/.."
imgforge=$(realpath "${IMGFORGE:-target/release/imgforge}")
helper=${IMGFORGE_DI_MIRROR:-../shared/di-mirror}
port=${IMGFORGE_DI_PORT:-8099}

# On a disk, not in memory; libvirt dislikes long paths.
world=$(mktemp -d /var/tmp/imgforge-e2e.XXXXXX)
pids=()
# shellcheck disable=SC2317,SC2329 # called by the trap
finish() {
	local status=$?
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || :
	if [ "$status" != 0 ] && [ -d "$world/state/logs" ]; then
		mv "$world/state/logs" "$world.logs"
		echo "the logs are in $world.logs" >&2
	fi
	rm -rf "$world"
}
trap finish EXIT
cp -a recipes firstboot preseed kickstart autoinstall "$world"
printf 'state: state\nrepositories: {main: {path: repo}}\n' >"$world/imgforge.yaml"
# shellcheck source=scripts/boot.sh
. scripts/boot.sh

vars=()
if [ -x "$helper/di_mirror.py" ]; then
	echo "== a mirror for the installer on port $port"
	"$helper/di_mirror.py" netboot "$world/boot"
	"$helper/di_mirror.py" serve --port "$port" >"$world/mirror.log" 2>&1 &
	pids+=($!)
	timeout 600 tail -n +1 -f --pid=$! "$world/mirror.log" | sed '/serving/q' || :
	grep -q serving "$world/mirror.log"
	vars=(--var "kernel=$world/boot/linux" --var "initrd=$world/boot/initrd.gz"
		--var "mirror=http://127.0.0.1:$port/debian" --var allow_unauthenticated=true)
fi

# Installs; leaves the seconds that it took in $took and the proxy's log in $1.
install() {
	local began=$SECONDS
	timeout 14400 "$imgforge" -C "$world" build debian-base "${vars[@]}" --until install "${@:2}"
	took=$((SECONDS - began))
	cp "$world/state/logs/debian-base/proxy.log" "$1"
}

# Addresses of the lines of log $1 that begin with one of the words $2, and bytes in all.
addresses() { awk -v words="$2" 'index(" " words " ", " " $1 " ") {print $4}' "$1" | sort -u; }
bytes() { awk -v words="$2" 'index(" " words " ", " " $1 " ") {n += $3} END {printf "%d MB", n / 1e6}' "$1"; }
report() {
	echo "$1: $took s; from mirrors $(bytes "$2" "miss passed"), from the cache $(bytes "$2" "hit revalidated")"
}

echo "== first installation, nothing in the cache"
install "$world/first.log"
cold=$took
report "first installation" "$world/first.log"
echo "== second installation, warm cache"
install "$world/second.log" --from install
report "second installation" "$world/second.log"

again=$(comm -12 <(addresses "$world/first.log" miss) <(addresses "$world/second.log" miss))
[ -z "$again" ] || { echo "fetched again although the cache had it:" "$again" >&2; exit 1; }
had=$(addresses "$world/second.log" "hit revalidated" | wc -l)
[ "$had" -gt 100 ] || { echo "only $had files came from the cache" >&2; exit 1; }
# The helper itself answers its few small index files anew.
[ "$(bytes "$world/second.log" "miss passed" | cut -d' ' -f1)" -lt 5 ] ||
	{ echo "the second installation fetched too much" >&2; exit 1; }
[ "$took" -lt "$cold" ] || { echo "the warm cache was not faster: $took s, before $cold s" >&2; exit 1; }

echo "== configure, seal, check, pack and publish"
timeout 7200 "$imgforge" -C "$world" build debian-base "${vars[@]}" --publish -o "$world/out"
manifest=$(find "$world/repo/images/debian-base" -name manifest.json)
grep -q '"fetched"' "$manifest" || { echo "the manifest does not tell what was fetched" >&2; exit 1; }
echo "== boot"
xz -dc "$world"/out/debian-base-*.xz >"$world/disk.raw"
boot "$world/disk.raw" bios
echo "== done: $cold s with a cold cache, $took s with a warm one"
