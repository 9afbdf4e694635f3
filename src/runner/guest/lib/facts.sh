# What a booted image tells the gate. Free text is written in hex: events carry plain words only.
# shellcheck shell=sh

hex() {
	od -An -v -tx1 | tr -d ' \n'
}

# How the system came up, and which units did not.
health() {
	emit fact state "${STATE:-unknown}"
	emit fact uptime "$(cut -d. -f1 /proc/uptime)"
	booted_with_systemd || return 0
	case $STATE in
	initializing | starting) systemctl list-jobs --no-pager >&5 2>&1 ;;
	esac
	systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null |
		head -n 100 >"$RUN/failed-units"
	while read -r unit rest; do
		: "$rest"
		emit fact failed-unit "$(printf %s "$unit" | hex)"
		echo "--- failed unit $unit" >&5
		journalctl -b -n 30 --no-pager -o cat -u "$unit" >&5 2>&1
	done <"$RUN/failed-units"
}

# What has to differ between two machines made from one image.
facts() {
	id=$(cat "${IMGFORGE_ROOT:-}/etc/machine-id" 2>/dev/null)
	case $id in
	'' | *[!0-9a-f]*) ;;
	*) emit fact machine-id "$id" ;;
	esac
	for key in "${IMGFORGE_ROOT:-}"/etc/ssh/ssh_host_*_key.pub; do
		[ -r "$key" ] && emit fact host-key "$(cut -d' ' -f1,2 "$key" | sha256sum | cut -c1-64)"
	done
	[ -x "${IMGFORGE_ROOT:-}/usr/sbin/sshd" ] && emit fact sshd yes
	booted_with_systemd && systemctl is-active --quiet systemd-random-seed.service 2>/dev/null &&
		emit fact seeded yes
	for seed in "${IMGFORGE_ROOT:-}/var/lib/systemd/random-seed" "${IMGFORGE_ROOT:-}/var/lib/urandom/random-seed"; do
		[ -r "$seed" ] && emit fact random-seed "$(sha256sum <"$seed" | cut -c1-64)"
	done
	emit fact kernel "$(uname -r | hex)"
	for card in "$SYS"/class/net/*/device/driver; do
		[ -e "$card" ] && emit fact nic "$(basename "$(readlink -f "$card")" | tr -cd 'A-Za-z0-9._-')"
	done
	return 0
}
