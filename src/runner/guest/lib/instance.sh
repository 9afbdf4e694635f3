# Runs an image's own steps at the first boot of a machine made from it, each exactly once,
# reports on the console, and removes itself after success.
# shellcheck shell=sh disable=SC2317
set -u
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
SYS=${IMGFORGE_SYS:-/sys}
DEV=${IMGFORGE_DEV:-/dev}
RUN=${IMGFORGE_ROOT:-}/usr/lib/imgforge-instance
JOB=
export SYS DEV RUN JOB
# shellcheck disable=SC1091
. "$RUN/lib/common.sh"
find_consoles

still_heard() { :; }
tried() { say "first boot: step $1 failed with exit code $3, try $2"; }

exec 5>&1
LAST=$(cat "$RUN/done" 2>/dev/null || echo 0)
while read -r word n action limit retries distro release; do
	if [ "$word" != step ] || [ "$n" -le "$LAST" ]; then continue; fi
	if matches "$distro" "$release"; then
		say "first boot: $(cat "$RUN/steps/$n/name")"
		if [ "$action" = reboot ]; then
			echo "$n" >"$RUN/done"
			sync
			if booted_with_systemd; then systemctl --no-block reboot; else "${IMGFORGE_ROOT:-}/sbin/reboot"; fi
			exit 0
		fi
		# Unlike in a build nobody knows how slow this machine is.
		run_tries "$n" "$action" "$((limit * 6))" "$retries"
		code=$?
		if [ "$code" -ne 0 ]; then
			say "first boot: step $n failed with exit code $code; it runs again at the next boot"
			exit "$code"
		fi
	fi
	echo "$n" >"$RUN/done"
	sync
done <"$RUN/plan"
root=${IMGFORGE_ROOT:-}
rm -rf "$root/usr/lib/imgforge-instance" "$root/etc/init.d/imgforge-instance" \
	"$root"/etc/rc?.d/S99imgforge-instance "$root/etc/runlevels/default/imgforge-instance" \
	"$root"/etc/systemd/system/imgforge-instance.service \
	"$root"/etc/systemd/system/multi-user.target.wants/imgforge-instance.service
say "first boot: done"
exit 0
