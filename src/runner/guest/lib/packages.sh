# The guest's package manager, for the actions that install something.
# shellcheck shell=sh

fail() {
	echo "imgforge: $*" >&2
	exit 1
}

# Runs a command up to three times: mirrors are flaky.
thrice() {
	for pause in 5 20 0; do
		code=0
		"$@" || code=$?
		[ "$code" -ne 0 ] || return 0
		[ "$pause" -eq 0 ] || { echo "imgforge: trying again in $pause s: $*" && sleep "$pause"; }
	done
	return "$code"
}

# Names the guest's package manager in MANAGER; without one the step fails.
find_manager() {
	for MANAGER in apt-get dnf yum zypper apk; do
		if command -v "$MANAGER" >/dev/null 2>&1; then return 0; fi
	done
	fail "no package manager is known here: apt-get, dnf, yum, zypper or apk is needed"
}

# Runs a package manager with the build's proxy, of which nothing is left in the guest; apt has it by APT_CONFIG.
relayed() {
	if [ -n "${IMGFORGE_RELAY:-}" ]; then
		own=localhost,127.0.0.1,::1${IMGFORGE_OWN:-}
		more=${no_proxy:-${NO_PROXY:-}}
		[ -z "${IMGFORGE_LOCKED:-}" ] || more=
		env http_proxy="$IMGFORGE_RELAY" https_proxy="$IMGFORGE_RELAY" no_proxy="$own${more:+,$more}" "$@"
	else
		"$@"
	fi
}

# dnf and yum heed what the image sets for them, and for a repository, more than their environment. Where a lock says what
# comes, neither counts.
dnf_run() {
	if [ -n "${IMGFORGE_LOCKED:-}" ]; then
		set -- "--setopt=proxy=$IMGFORGE_RELAY" "--setopt=*.proxy=$IMGFORGE_RELAY" "$@"
	fi
	relayed "$MANAGER" -y "$@"
}

apt() {
	apt-get -y -q -o DPkg::Lock::Timeout=900 -o Acquire::Retries=3 \
		-o APT::Update::Error-Mode=any -o Acquire::Languages=none -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# apt's own background work holds its locks for minutes; let it end and do not start again.
quiet_apt() {
	command -v systemctl >/dev/null 2>&1 || return 0
	systemctl stop apt-daily.timer apt-daily-upgrade.timer >/dev/null 2>&1 || true
	waited=0
	while systemctl is-active -q apt-daily.service apt-daily-upgrade.service 2>/dev/null ||
		systemctl show -p ActiveState apt-daily.service apt-daily-upgrade.service 2>/dev/null |
		grep -q '=activating'; do
		waited=$((waited + 2))
		[ "$waited" -lt 900 ] || break
		sleep 2
	done
}

# Reads the package lists once a boot, and again after a repository was added.
refresh_lists() {
	[ ! -e "$RUN/lists-fresh" ] || return 0
	find_manager
	case $MANAGER in
	apt-get) quiet_apt && thrice apt update ;;
	dnf | yum) thrice dnf_run makecache ;;
	zypper) thrice zypper_run refresh ;;
	apk) thrice relayed apk update --wait 900 ;;
	esac
	: >"$RUN/lists-fresh"
}

# Why a package manager could not read lists, out of what it said: the key and what is wrong with it
# where that is the reason.
why_unread() {
	awk '
		{ said = said " " $0 }
		/^(E|Error|error|ERROR)[: ]/ && !first { first = $0 }
		END {
			gsub(/[ \t]+/, " ", said)
			if (match(said, /Signing key on [0-9A-F]+ is not bound:.*is not considered secure since [0-9-]+/)) {
				key = substr(said, RSTART, RLENGTH)
				sub(/No binding signature.*because: /, "", key)
				print key "; its owner has to sign the key again, with SHA-256 or better"
			} else if (match(said, /(NO_PUBKEY|EXPKEYSIG|KEYEXPIRED|REVKEYSIG|BADSIG) [0-9A-F]+/))
				print substr(said, RSTART, RLENGTH) ": is this the key of the repository?"
			else if (match(said, /Missing key [0-9A-F]+/))
				print substr(said, RSTART, RLENGTH) ": is this the key of the repository?"
			else
				print first ? first : "see the lines above"
		}'
}

# apt knows no package without lists, and a sealed image has none: a layer on one needs them before
# Puppet or Ansible installs something. The other managers fetch theirs by themselves.
need_lists() {
	command -v apt-get >/dev/null 2>&1 || return 0
	for list in /var/lib/apt/lists/*_Packages*; do
		[ ! -e "$list" ] || return 0
	done
	quiet_apt
	apt update || echo "imgforge: there are no package lists, so nothing can be installed"
}

# 100 and up are information: patches are there, a restart is advised.
zypper_run() {
	code=0
	relayed env ZYPP_LOCK_TIMEOUT=900 zypper --non-interactive "$@" || code=$?
	[ "$code" -eq 0 ] || { [ "$code" -ge 100 ] && [ "$code" -lt 104 ]; }
}

install_packages() {
	[ "$#" -gt 0 ] || return 0
	refresh_lists
	find_manager
	case $MANAGER in
	apt-get) thrice apt install "$@" ;;
	dnf | yum) thrice dnf_run install "$@" ;;
	zypper) thrice zypper_run install "$@" ;;
	apk) thrice relayed apk add --wait 900 "$@" ;;
	esac
}

# Gives what was written its security label, where the guest has labels.
relabel() {
	command -v restorecon >/dev/null 2>&1 || return 0
	restorecon -R "$@" 2>/dev/null || true
}

# The payload of this step: an archive on the job's disk, or beside an image's own steps.
payload() {
	if [ -n "${JOB:-}" ]; then
		tar -xOf "$JOB" "payload-$N.tar"
	else
		cat "$RUN/payload-$N.tar"
	fi
}
