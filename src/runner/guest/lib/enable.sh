# Enables an image's own first-boot steps without starting them.
# shellcheck shell=sh
set -eu
root=${IMGFORGE_ROOT:-}
from=$root/usr/lib/imgforge-instance/init
if [ -d "$root/usr/lib/systemd/system" ] || [ -d "$root/lib/systemd/system" ]; then
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	cp "$from/imgforge-instance.service" "$root/etc/systemd/system/"
	ln -sf ../imgforge-instance.service "$root/etc/systemd/system/multi-user.target.wants/"
elif [ -d "$root/etc/runlevels/default" ]; then
	sed '1s,.*,#!/sbin/openrc-run,' "$from/imgforge-instance.sh" >"$root/etc/init.d/imgforge-instance"
	chmod 0755 "$root/etc/init.d/imgforge-instance"
	ln -sf /etc/init.d/imgforge-instance "$root/etc/runlevels/default/imgforge-instance"
else
	mkdir -p "$root/etc/init.d"
	cp "$from/imgforge-instance.sh" "$root/etc/init.d/imgforge-instance"
	chmod 0755 "$root/etc/init.d/imgforge-instance"
	for level in 2 3 4 5; do
		[ ! -d "$root/etc/rc$level.d" ] ||
			ln -sf ../init.d/imgforge-instance "$root/etc/rc$level.d/S99imgforge-instance"
	done
fi
if command -v restorecon >/dev/null 2>&1; then
	restorecon -R "$root/usr/lib/imgforge-instance" "$root/etc/systemd/system" || true
fi
