# Sets time zone, locale, keyboard, host name and swap, as far as `system.sh` sets them.
# shellcheck shell=sh
timezone='' locale='' keyboard='' hostname='' swap=''
# shellcheck disable=SC1091
. "$STEP/system.sh"

set_timezone() {
	[ -e "/usr/share/zoneinfo/$timezone" ] || install_packages tzdata
	[ -e "/usr/share/zoneinfo/$timezone" ] || fail "there is no time zone $timezone"
	ln -sfn "/usr/share/zoneinfo/$timezone" /etc/localtime
	if [ -e /etc/debian_version ] || [ -e /etc/timezone ]; then echo "$timezone" >/etc/timezone; fi
}

set_locale() {
	case $locale in
	C | C.* | POSIX) ;;
	*)
		if [ -e /etc/debian_version ]; then
			command -v locale-gen >/dev/null 2>&1 || install_packages locales
			grep "^[# ]*$locale " /usr/share/i18n/SUPPORTED | tr -d '#' |
				sed 's/^ *//' | head -n 1 >"$RUN/locale"
			[ -s "$RUN/locale" ] || fail "there is no locale $locale"
			grep -qxF "$(cat "$RUN/locale")" /etc/locale.gen 2>/dev/null || cat "$RUN/locale" >>/etc/locale.gen
			locale-gen
		elif command -v dnf >/dev/null 2>&1; then
			install_packages "glibc-langpack-${locale%%_*}"
		fi
		;;
	esac
	if [ -e /etc/debian_version ]; then echo "LANG=$locale" >/etc/default/locale; fi
	if [ ! -L /etc/locale.conf ]; then echo "LANG=$locale" >/etc/locale.conf; fi
}

set_keyboard() {
	if [ -e /etc/debian_version ]; then
		printf 'XKBMODEL="pc105"\nXKBLAYOUT="%s"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n' \
			"$keyboard" >/etc/default/keyboard
	fi
	if [ ! -e /etc/debian_version ] || [ -e /etc/vconsole.conf ]; then
		echo "KEYMAP=$keyboard" >/etc/vconsole.conf
	fi
}

set_hostname() {
	echo "$hostname" >/etc/hostname
	hostname "$hostname" 2>/dev/null || echo "$hostname" >/proc/sys/kernel/hostname
	# sudo and others look their own machine up; without this line they wait for the network.
	if grep -q '^127\.0\.1\.1[[:space:]]' /etc/hosts 2>/dev/null; then
		sed -i "s/^127\.0\.1\.1[[:space:]].*/127.0.1.1\t$hostname/" /etc/hosts
	else
		printf '127.0.1.1\t%s\n' "$hostname" >>/etc/hosts
	fi
}

# A file that is allocated but never written: it takes no room in the image.
set_swap() {
	rm -f /swapfile
	: >/swapfile
	chmod 0600 /swapfile
	chattr +C /swapfile 2>/dev/null || true
	fallocate -l "$swap" /swapfile || dd if=/dev/zero of=/swapfile bs=1048576 count=$((swap / 1048576))
	mkswap /swapfile
	grep -q '^/swapfile[[:space:]]' /etc/fstab 2>/dev/null ||
		printf '/swapfile none swap sw 0 0\n' >>/etc/fstab
	relabel /swapfile
}

for setting in timezone locale keyboard hostname swap; do
	eval "value=\$$setting"
	# shellcheck disable=SC2154
	[ -z "$value" ] || "set_$setting"
done
