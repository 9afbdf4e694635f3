# The runner: executes the job's steps in order, each exactly once, also across reboots, and
# reports three ways. The journal on the log's disk decides (one record of 512 bytes each, synced
# before anything else happens); short events go over the first port and raw output over the
# second; people read the console. Nobody has to listen: every write has a time limit.
# shellcheck shell=sh disable=SC2317
set -u
# shellcheck disable=SC1091
. "$RUN/lib/common.sh"

NONCE='' MODE='' FACTOR=1 SECRETS=0 STEPS=0 INSTANCE=no
SEQ=0 BOOTS=0 OPEN='' REBOOTED='' LAST=0 FINISHED=''
EVENTS=down OUTPUT=down

load_plan() {
	while read -r word value rest; do
		case $word in
		nonce) NONCE=$value ;;
		mode) MODE=$value ;;
		factor) FACTOR=$value ;;
		secrets) SECRETS=$value ;;
		instance) INSTANCE=$value ;;
		step) STEPS=$value ;;
		esac
	done <"$RUN/plan"
	: "${rest:-}"
	# Steps have time limits of their own.
	export FACTOR
	[ -n "$NONCE" ]
}

# What earlier boots have done.
read_journal() {
	while read -r magic nonce seq word a b; do
		[ "$magic $nonce $seq" = "imgforge $NONCE $SEQ" ] || break
		SEQ=$((SEQ + 1))
		case $word in
		boot) BOOTS=$a ;;
		done) FINISHED=$a ;;
		step)
			case $b in
			begin) OPEN=$a ;;
			reboot) REBOOTED=$a ;;
			end* | skip) OPEN='' LAST=$a ;;
			esac
			;;
		esac
	done <<-JOURNAL
		$(dd if="$LOG" bs=512 count=2048 2>/dev/null | tr -d '\000')
	JOURNAL
}

record() {
	[ "$SEQ" -lt 2047 ] || [ "$1" = 'done' ] || return 0
	printf '%-511s\n' "imgforge $NONCE $SEQ $*" |
		dd of="$LOG" bs=512 seek="$SEQ" conv=notrunc,fsync 2>/dev/null
	SEQ=$((SEQ + 1))
}

# Notes the time of a step's begin or end: by that, and by when a file changed, the host tells which
# step changed it.
note_time() {
	[ "$MODE" = configure ] || return 0
	now=$(date +%s.%N 2>/dev/null)
	# Not every busybox knows nanoseconds.
	case ${now#*.} in
	[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]) ;;
	*) now=${now%%.*} ;;
	esac
	[ -z "$now" ] || record time "$now"
}

# An event: into the journal, then over the port.
emit() {
	record "$@"
	tell "$@"
}

tell() {
	[ "$EVENTS" = up ] || return 0
	# shellcheck disable=SC2016
	timeout "$((10 * FACTOR))" sh -c 'printf "%s\n" "$1" >&3' sh "$*" 2>/dev/null || EVENTS=down
}

port() {
	for name in "$SYS"/class/virtio-ports/*/name; do
		[ "$(cat "$name" 2>/dev/null)" = "$1" ] || continue
		name=${name%/name}
		[ -w "$DEV/${name##*/}" ] || continue
		echo "$DEV/${name##*/}"
		return 0
	done
	return 1
}

open_ports() {
	exec 3>/dev/null 4>/dev/null
	# A failed exec would end this shell, so a subshell tries first: a port opens only once.
	if path=$(port org.imgforge.0) && (: 3<>"$path") 2>/dev/null; then
		exec 3<>"$path"
		EVENTS=up
	fi
	if path=$(port org.imgforge.1) && (: 4<>"$path") 2>/dev/null; then
		exec 4<>"$path"
		OUTPUT=up
	elif [ "$SECRETS" -eq 0 ]; then
		# Never with secrets: nobody masks what goes to a console.
		for console in $CONSOLES; do
			(: 4>"$console") 2>/dev/null || continue
			exec 4>>"$console"
			OUTPUT=up
		done
	fi
	rm -f "$RUN/out"
	mkfifo "$RUN/out"
	exec 5<>"$RUN/out"
	# Redirected by exec: around a function a shell keeps a copy of what it closes.
	(
		exec 6<"$RUN/out" 5>&-
		pump
	) &
	PUMP=$!
}

# Carries the steps' output to the host. When nobody reads there any more, still_heard ends the
# first cat, and the second lets the steps write on.
pump() {
	if [ "$OUTPUT" = up ]; then
		cat <&6 >&4 2>/dev/null &
		echo $! >"$RUN/cat.pid"
		wait $!
	fi
	exec cat <&6 >/dev/null
}

still_heard() {
	[ "$OUTPUT" = up ] && [ -e "$RUN/cat.pid" ] || return 0
	# shellcheck disable=SC2016
	timeout "$((10 * FACTOR))" sh -c 'printf "\000" >&4' 2>/dev/null && return 0
	kill "$(cat "$RUN/cat.pid")" 2>/dev/null
	rm -f "$RUN/cat.pid"
}

take_secrets() {
	[ "$SECRETS" -gt 0 ] || return 0
	mkdir -p "$RUN/secrets"
	chmod 0700 "$RUN/secrets"
	# Unlike tmpfs, ramfs never goes to a swap file.
	if [ -z "${IMGFORGE_RUN:-}" ]; then
		mount -t ramfs -o mode=0700 imgforge-secrets "$RUN/secrets" || return 1
	fi
	[ "$EVENTS" = up ] || return 1
	tell secrets
	timeout "$((${IMGFORGE_SECRETS_WAIT:-60} * FACTOR))" \
		sh "$RUN/lib/secrets.sh" "$RUN/secrets" "$SECRETS" <&3
}

# Lets the boot come to its end: units that start late hold locks and change what steps see.
settle() {
	if command -v cloud-init >/dev/null 2>&1; then
		timeout "$((300 * FACTOR))" cloud-init status --wait >/dev/null 2>&1
	fi
	STATE=unknown
	booted_with_systemd || return 0
	waited=0
	while :; do
		STATE=$(systemctl is-system-running 2>/dev/null)
		case $STATE in
		initializing | starting) ;;
		*) return 0 ;;
		esac
		[ "$waited" -lt "$(($1 * FACTOR))" ] || return 0
		sleep 1
		waited=$((waited + 1))
	done
}

# Waits for a default route when there is a network card at all; steps say why they fail without.
wait_for_network() {
	ls -d "$SYS"/class/net/[!l]* >/dev/null 2>&1 || return 0
	waited=0
	until grep -q '^[^[:space:]]*[[:space:]]00000000[[:space:]]' /proc/net/route 2>/dev/null ||
		grep '^0\{32\} 00 ' /proc/net/ipv6_route 2>/dev/null | grep -qv '[[:space:]]lo$'; do
		[ "$waited" -lt "$((15 * FACTOR))" ] || return 0
		sleep 1
		waited=$((waited + 1))
	done
}

tried() {
	emit step "$1" try "$2" "$3"
	say "step $1 failed with exit code $3, try $2"
}

# Steps above LAST, in order. Returns the first failure's code; a check goes on after one.
run_steps() {
	result=0
	while read -r word n action limit retries distro release; do
		if [ "$word" != step ] || [ "$n" -le "$LAST" ]; then continue; fi
		if ! matches "$distro" "$release"; then
			emit step "$n" skip
			continue
		fi
		say "step $n of $STEPS: $(cat "$RUN/steps/$n/name")"
		note_time
		emit step "$n" begin
		if [ "$action" = reboot ]; then
			emit step "$n" reboot
			leave reboot
		fi
		run_tries "$n" "$action" "$((limit * FACTOR))" "$retries"
		code=$?
		note_time
		emit step "$n" end "$code"
		if [ "$code" -ne 0 ]; then
			say "step $n failed with exit code $code"
			result=$code
			[ "$MODE" = check ] || break
		fi
	done <"$RUN/plan"
	return "$result"
}

# Ends the job with code $1; a configured guest keeps no trace of it.
finish() {
	if [ "$1" -eq 0 ] && [ "$MODE" = configure ]; then
		sh "$RUN/lib/place.sh" "$INSTANCE" "$JOB" || {
			emit fail instance
			set -- 1
		}
		remove_traces
	fi
	exec 5>&-
	waited=0
	while kill -0 "$PUMP" 2>/dev/null && [ "$waited" -lt "$((5 * FACTOR))" ]; do
		sleep 1
		waited=$((waited + 1))
	done
	sync
	emit 'done' "$1"
	say "done, exit code $1"
	leave poweroff
}

remove_traces() {
	root=${IMGFORGE_ROOT:-}
	rm -rf "$root/usr/lib/imgforge" "$root/etc/init.d/imgforge" \
		"$root"/etc/rc?.d/S99imgforge "$root/etc/runlevels/default/imgforge" \
		"$root"/etc/systemd/system/imgforge-start.service \
		"$root"/etc/systemd/system/imgforge-runner.service \
		"$root"/etc/systemd/system/multi-user.target.wants/imgforge-start.service
	# The build's own settings, and directories that only they were in.
	for dir in "$root"/etc/systemd/system.conf.d "$root"/etc/systemd/system/*.service.d \
		"$root"/etc/needrestart/conf.d; do
		[ -f "$dir/zz-imgforge.conf" ] || continue
		rm -f "$dir/zz-imgforge.conf"
		rmdir "$dir" 2>/dev/null
	done
	rmdir "$root"/etc/needrestart 2>/dev/null
	[ -n "$root" ] || trim
	return 0
}

# Gives free blocks back; those of removed files are free once that is on the disk.
trim() {
	sync
	timeout "$((300 * FACTOR))" fstrim -a >/dev/null 2>&1 && return 0
	# Busybox has no -a.
	while read -r device at _; do
		case $device in
		/dev/*) timeout "$((300 * FACTOR))" fstrim "$at" >/dev/null 2>&1 || : ;;
		esac
	done </proc/mounts
}

# $1: poweroff or reboot.
leave() {
	sync
	# Nobody sees what a checked clone would write while its services stop.
	if booted_with_systemd && [ "$MODE" = check ]; then
		systemctl --force "$1"
	elif booted_with_systemd; then
		systemctl --no-block "$1"
	else
		"${IMGFORGE_ROOT:-}/sbin/$1"
	fi
	# The init system ends this process; if it does not within this time, the kernel has to.
	sleep "${IMGFORGE_LEAVE_WAIT:-$((90 * FACTOR))}"
	"${IMGFORGE_ROOT:-}/sbin/$1" -f
	exit 0
}

main() {
	find_consoles
	load_plan || exit 1
	read_journal
	open_ports
	[ -z "$FINISHED" ] || leave poweroff
	emit boot "$((BOOTS + 1))"
	tell hello "$NONCE"
	say "runner started"
	if [ -n "$OPEN" ]; then
		if [ "$OPEN" != "$REBOOTED" ]; then
			emit fail lost
			finish 125
		fi
		note_time
		emit step "$OPEN" end 0
		LAST=$OPEN
	fi
	if ! take_secrets; then
		emit fail secrets
		finish 125
	fi
	settle "$([ "$MODE" = check ] && echo 300 || echo 60)"
	wait_for_network
	if [ "$MODE" = check ]; then
		# shellcheck disable=SC1091
		. "$RUN/lib/facts.sh"
		health
	fi
	run_steps
	code=$?
	[ "$MODE" != check ] || facts
	finish "$code"
}

main
