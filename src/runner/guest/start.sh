#!/bin/sh
# Injected into the guest as /usr/lib/imgforge/runner and started at boot. Finds the job's disk,
# unpacks the runner proper into a memory file system and becomes it. Without such a disk, as
# when somebody boots a kept overlay by hand, it does nothing.
set -u
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
SYS=${IMGFORGE_SYS:-/sys}
DEV=${IMGFORGE_DEV:-/dev}
RUN=${IMGFORGE_RUN:-/run/imgforge}

# Disks have no stable names; imgforge gives its own a serial number.
disk() {
	for serial in "$SYS"/block/*/serial; do
		[ "$(cat "$serial" 2>/dev/null)" = "$1" ] || continue
		block=${serial%/serial}
		echo "$DEV/${block##*/}"
		return 0
	done
	return 1
}

# Only a machine that somebody boots by hand waits in vain, and nothing waits for this.
tries=0
until JOB=$(disk imgforge-job) && LOG=$(disk imgforge-log); do
	tries=$((tries + 1))
	[ "$tries" -lt "${IMGFORGE_DISK_TRIES:-600}" ] || exit 0
	sleep 1
done

mkdir -p "$RUN" || exit 1
if [ -z "${IMGFORGE_RUN:-}" ]; then
	# A file system of its own: /run is small and noexec on several distributions.
	mount -t tmpfs -o mode=0700,size=75% imgforge "$RUN" || exit 1
fi
tar -xOf "$JOB" core.tar | tar -xf - -C "$RUN" || exit 1
export SYS DEV RUN JOB LOG
exec sh "$RUN/lib/runner.sh"
