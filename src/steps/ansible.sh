# Runs a playbook against this machine with the toolbox's Ansible; nothing is installed.
# `ansible.sh` sets playbook, roles, tags, skip_tags, vault and idempotent; `inventory` and
# `vars.json` are files.
# shellcheck shell=sh
playbook='' roles='' tags='' skip_tags='' vault='' idempotent=''
# shellcheck disable=SC1091
. "$STEP/ansible.sh"

# Outside $RUN, which is root's alone: tasks run as other users, too.
tools=/run/imgforge-toolbox
if [ ! -e "$tools/python" ]; then
	for serial in "$SYS"/block/*/serial; do
		[ "$(cat "$serial" 2>/dev/null)" = imgforge-tools ] || continue
		block=${serial%/serial}
		mkdir -p "$tools"
		mount -t ext4 -o ro,noatime "$DEV/${block##*/}" "$tools"
	done
fi
[ -e "$tools/python" ] || fail "the disk with Ansible is not there"

need_lists
work=$RUN/ansible-$N
rm -rf "$work"
mkdir -p "$work/tree" "$work/tmp"
payload | tar -xf - -C "$work/tree"
dir=$work/tree/$(dirname "$playbook")

paths=$dir/roles
for role in $roles; do paths=$paths:$work/tree/$role; done
if [ -e "$dir/ansible.cfg" ]; then export ANSIBLE_CONFIG="$dir/ansible.cfg"; fi
export LC_ALL=C.UTF-8 \
	ANSIBLE_HOME="$work/home" ANSIBLE_LOCAL_TEMP="$work/tmp" ANSIBLE_REMOTE_TEMP="$work/tmp" \
	ANSIBLE_NOCOLOR=1 ANSIBLE_RETRY_FILES_ENABLED=0 ANSIBLE_PYTHON_INTERPRETER="$tools/python" \
	ANSIBLE_CALLBACK_PLUGINS="$RUN/ansible" ANSIBLE_CALLBACKS_ENABLED=imgforge \
	ANSIBLE_ROLES_PATH="$paths:$work/tree/galaxy/roles" \
	ANSIBLE_COLLECTIONS_PATH="$work/tree/galaxy:$dir/collections" \
	IMGFORGE_ANSIBLE_CHANGED="$work/changed"

set -- -i "$STEP/inventory" -c local -e "@$STEP/vars.json"
if [ -n "$tags" ]; then set -- "$@" --tags "$tags"; fi
if [ -n "$skip_tags" ]; then set -- "$@" --skip-tags "$skip_tags"; fi
# Root needs no sudo to become another user, and a small system has none.
if ! command -v sudo >/dev/null 2>&1; then
	export ANSIBLE_BECOME_METHOD=su ANSIBLE_SU_FLAGS='-s /bin/sh'
fi
if [ -n "$vault" ]; then set -- "$@" --vault-password-file "$RUN/secrets/$vault"; fi

play() {
	(cd "$dir" && exec "$tools/python" "$tools/usr/bin/ansible-playbook" "$@" "$work/tree/$playbook")
}

play "$@"
if [ -n "$idempotent" ]; then
	echo "imgforge: the second run, which must not change anything"
	play "$@"
	if [ -s "$work/changed" ]; then
		echo "imgforge: the playbook is not idempotent, its second run changed:" >&2
		sed 's/^/imgforge:   /' "$work/changed" >&2
		exit 1
	fi
fi
rm -rf "$work"
# Ansible before 2.14 knows no ANSIBLE_HOME.
rmdir "$HOME/.ansible" 2>/dev/null || :
