# shellcheck shell=bash
# Boots finished raw disks; to be sourced. Works in the directory $world.
: "${world:?}"

# Boots a throw-away overlay of disk $1 with firmware $2 and waits for a login prompt.
boot() {
	local args=() code attempt
	if [ "$2" = uefi ]; then
		code=/usr/share/OVMF/OVMF_CODE_4M.fd
		[ -e "$code" ] || code=/usr/share/OVMF/OVMF_CODE.fd
		cp "${code/CODE/VARS}" "$world/vars.fd"
		args=(-drive "if=pflash,format=raw,readonly=on,file=$code"
			-drive "if=pflash,format=raw,file=$world/vars.fd")
	fi
	mkfifo "$world/console"
	for attempt in 1 2 3; do
		qemu-img create -q -f qcow2 -F raw -b "$1" "$world/overlay.qcow2"
		timeout 600 qemu-system-x86_64 -machine q35,hpet=off -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
			-display none -no-reboot "${args[@]}" -serial stdio \
			-drive "file=$world/overlay.qcow2,format=qcow2,if=virtio,cache=unsafe" \
			</dev/null >"$world/console" 2>&1 &
		wait_for_login <"$world/console" && seen=login || seen=$?
		kill $! 2>/dev/null || :
		wait $! || :
		[ "$seen" = 2 ] || break
		echo "the host is too busy for the guest's timer, attempt $attempt"
	done
	rm "$world/console" "$world/overlay.qcow2"
	[ "$seen" = login ] || {
		tail -n 40 "$world/said" >&2
		echo "$1 did not boot to a login prompt with $2" >&2
		return 1
	}
}

# Returns 2 for a kernel that got no timer interrupts in time, which a busy host causes.
wait_for_login() {
	local said
	: >"$world/said"
	# The prompt has no line end, but a colon.
	while IFS= read -r -d : said; do
		printf '%s:' "$said" >>"$world/said"
		case $said in
		*' login') return 0 ;;
		*'IO-APIC + timer'*) return 2 ;;
		esac
	done
	return 1
}
