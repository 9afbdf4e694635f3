# Makes or changes the users in `users/NAME/`, in the order of `list`.
# shellcheck shell=sh

# A name may have a dot, which means something else to grep and sed.
known_group() { cut -d : -f 1 /etc/group | grep -qxF -- "$1"; }
known_user() { cut -d : -f 1 /etc/passwd | grep -qxF -- "$1"; }

add_group() {
	known_group "$1" && return 0
	if command -v groupadd >/dev/null 2>&1; then groupadd -r "$1"; else addgroup -S "$1"; fi
}

add_user() {
	shell=$(cat "$user/shell" 2>/dev/null || true)
	if [ -z "$shell" ]; then
		shell=/bin/sh
		if [ -x /bin/bash ]; then shell=/bin/bash; fi
	fi
	if known_user "$name"; then
		if [ -e "$user/shell" ]; then sed -i "s,^\($pattern:.*:\)[^:]*\$,\1$shell," /etc/passwd; fi
		return 0
	fi
	if command -v useradd >/dev/null 2>&1; then
		if [ -e "$user/system" ]; then set -- -r; else set -- -m; fi
		useradd "$@" -s "$shell" "$name"
	else
		if [ -e "$user/system" ]; then set -- -S -H; else set --; fi
		adduser -D "$@" -s "$shell" "$name"
	fi
	# No password fits this; unlike `!` it does not lock the account for ssh keys.
	printf '%s:*\n' "$name" | chpasswd -e
}

join_groups() {
	[ -e "$user/groups" ] || return 0
	while read -r group; do
		add_group "$group"
		if command -v usermod >/dev/null 2>&1; then
			usermod -a -G "$group" "$name"
		else
			addgroup "$name" "$group"
		fi
	done <"$user/groups"
}

add_keys() {
	[ -e "$user/keys" ] || return 0
	home=$(sed -n "s/^$pattern:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p" /etc/passwd)
	group=$(id -g "$name")
	mkdir -p "$home/.ssh"
	touch "$home/.ssh/authorized_keys"
	while read -r key; do
		grep -qxF "$key" "$home/.ssh/authorized_keys" || printf '%s\n' "$key" >>"$home/.ssh/authorized_keys"
	done <"$user/keys"
	chown "$name:$group" "$home/.ssh" "$home/.ssh/authorized_keys"
	chmod 0700 "$home/.ssh"
	chmod 0600 "$home/.ssh/authorized_keys"
	relabel "$home/.ssh"
}

set_password() {
	[ -e "$user/password" ] || return 0
	# A pipe, not an argument: arguments are visible to every user.
	{
		printf '%s:' "$name"
		tr -d '\n' <"$RUN/secrets/$(cat "$user/password")"
		echo
	} | chpasswd -e
}

# sudo reads no file with a dot in its name.
allow_sudo() {
	[ -e "$user/sudo" ] || return 0
	file=/etc/sudoers.d/$(printf %s "$name" | tr . _)
	mkdir -p /etc/sudoers.d
	printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$name" >"$file"
	chmod 0440 "$file"
	relabel "$file"
}

while read -r name; do
	user=$STEP/users/$name
	pattern=$(printf %s "$name" | sed 's/\./\\./g')
	add_user
	join_groups
	set_password
	add_keys
	allow_sudo
	echo "user $name: $(id "$name")"
done <"$STEP/list"
