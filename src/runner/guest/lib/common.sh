# Shared by the runner and by an image's own first-boot steps: the console, the conditions of a
# step, its tries and its time limit. Needs RUN, the directory with `plan`, `lib` and `steps`.
# shellcheck shell=sh

# Text for people, on every console. Never waits long for one that nobody reads.
say() {
	for console in ${CONSOLES:-}; do
		# shellcheck disable=SC2016
		timeout "$((10 * ${FACTOR:-6}))" sh -c 'printf "\r%s\r\n" "$1" >>"$2"' sh "imgforge: $*" "$console" 2>/dev/null
	done
	return 0
}

find_consoles() {
	CONSOLES=
	if [ -r "$SYS/class/tty/console/active" ]; then
		read -r ttys <"$SYS/class/tty/console/active"
		for tty in $ttys; do
			[ -w "$DEV/$tty" ] && CONSOLES="$CONSOLES $DEV/$tty"
		done
	fi
	[ -n "$CONSOLES" ] || { [ -w "$DEV/console" ] && CONSOLES=$DEV/console; }
	return 0
}

booted_with_systemd() {
	[ -d "${IMGFORGE_ROOT:-}/run/systemd/system" ]
}

# The value of a key of os-release.
os() {
	(
		# shellcheck disable=SC2034
		ID=linux ID_LIKE='' VERSION_ID='' VERSION_CODENAME=''
		for file in "${IMGFORGE_ROOT:-}/etc/os-release" "${IMGFORGE_ROOT:-}/usr/lib/os-release"; do
			if [ -r "$file" ]; then
				# shellcheck disable=SC1090
				. "$file"
				break
			fi
		done
		eval "printf '%s\n' \"\$$1\""
	)
}

# Whether the guest is of DISTRO (`ID` or `ID_LIKE`) and RELEASE (codename or version); `-` is any.
matches() {
	if [ "$1" != - ]; then
		case " $(os ID) $(os ID_LIKE) " in
		*" $1 "*) ;;
		*) return 1 ;;
		esac
	fi
	if [ "$2" != - ]; then
		[ "$2" = "$(os VERSION_CODENAME)" ] || [ "$2" = "$(os VERSION_ID)" ] || return 1
	fi
}

# One try of step $1, action $2, for at most $3 seconds: its whole session ends with its time.
run_once() {
	rm -f "$RUN/timed-out"
	setsid sh "$RUN/lib/step.sh" "$1" "$2" </dev/null >&5 2>&1 3>&- 4>&- 5>&- &
	step_pid=$!
	(
		exec >/dev/null 2>&1 5>&-
		pause=5 spent=0
		[ "$3" -ge 60 ] || pause=1
		while [ "$spent" -lt "$3" ]; do
			sleep "$pause"
			spent=$((spent + pause))
			# Without the runner the host decides what becomes of the step.
			kill -0 "$$" || exit 0
			still_heard
		done
		: >"$RUN/timed-out"
		kill -TERM "-$step_pid"
		sleep 5
		kill -KILL "-$step_pid"
	) &
	dog=$!
	wait "$step_pid"
	once_code=$?
	kill "$dog" 2>/dev/null
	wait "$dog" 2>/dev/null
	if [ -e "$RUN/timed-out" ]; then
		kill -KILL "-$step_pid" 2>/dev/null
		once_code=124
	fi
	return "$once_code"
}

# All tries of step $1, action $2, limit $3 seconds, $4 further tries.
run_tries() {
	try=1
	while :; do
		run_once "$1" "$2" "$3"
		code=$?
		if [ "$code" -eq 0 ] || [ "$try" -gt "$4" ]; then
			return "$code"
		fi
		try=$((try + 1))
		tried "$1" "$try" "$code"
		sleep "$((try < 6 ? try : 6))"
	done
}
