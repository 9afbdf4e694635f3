#!/bin/sh
# Gives the root what a larger disk adds: its partition, or the physical volumes below its logical
# volume, and its file system. Nothing ever gets smaller.
#   grow-root KEPT                  so many extents of the volume group stay free
#   grow-root partition DISK NUMBER grows that partition only; DISK may be a file
set -eu

say() { echo "grow-root: $*"; }

sectors() {
	bytes=$(blockdev --getsize64 "$1" 2>/dev/null || stat -Lc %s "$1")
	each=$(blockdev --getss "$1" 2>/dev/null || echo 512)
	echo $((bytes / each))
}

# NUMBER START SIZE TYPE of every partition of disk $1, in sectors.
partitions() {
	sfdisk --dump "$1" 2>/dev/null | sed -n 's/^.*[^0-9]\([0-9][0-9]*\) : start= *\([0-9]*\), size= *\([0-9]*\), type=\([^,]*\).*/\1 \2 \3 \4/p'
}

# Moves the end of partition $2 of disk $1 to sector $3 or the last whole MiB before it.
resize() {
	start='' size=''
	# shellcheck disable=SC2046
	set -- "$1" "$2" "$3" $(partitions "$1" | sed -n "s/^$2 //p")
	[ "$#" -ge 5 ] || { say "$1 has no partition $2"; return 1; }
	start=$4 size=$5
	new=$(($3 / 2048 * 2048 - start))
	if [ "$new" -le "$size" ]; then return 0; fi
	# With both numbers: left to itself, sfdisk takes the end of a large disk modulo 2 TiB, see
	# findings/sfdisk-grows-a-dos-partition-smaller.sh.
	echo "$start, $new" | sfdisk --quiet --no-reread --no-tell-kernel --force -N "$2" "$1"
	if [ -b "$1" ]; then partx --update --nr "$2" "$1"; fi
	say "partition $2 of $1 has $new sectors now, $size before"
}

# Whether no partition of disk $1 lies behind sector $2, but those that are around it.
last() {
	partitions "$1" | { while read -r _ begins _; do [ "$begins" -le "$2" ] || return 1; done; }
}

grow_partition() {
	begins=$(partitions "$1" | sed -n "s/^$2 \([0-9]*\) .*/\1/p")
	if ! last "$1" "${begins:-0}"; then
		say "partition $2 is not the last one of $1 and keeps its size"
		return 0
	fi
	if sfdisk --dump "$1" 2>/dev/null | grep -q '^label: gpt'; then
		# The copy of the table moves to the new end.
		sfdisk --quiet --no-reread --no-tell-kernel --relocate gpt-bak-std "$1"
		end=$(sfdisk --dump "$1" 2>/dev/null | sed -n 's/^last-lba: *//p')
		resize "$1" "$2" "$((end + 1))"
		return
	fi
	end=$(sectors "$1")
	# The numbers of a DOS table end there: 2 TiB of sectors of 512 bytes.
	if [ "$end" -gt 4294967295 ]; then
		end=4294967295
		say "$1 has a DOS partition table, which ends at $end sectors: the rest of it stays unused"
	fi
	# Logical partitions grow after the extended one around them.
	if [ "$2" -gt 4 ]; then
		for outer in $(partitions "$1" | sed -n 's/^\([1-4]\) .* \(5\|f\|85\)$/\1/p'); do
			resize "$1" "$outer" "$end"
		done
	fi
	resize "$1" "$2" "$end"
}

grow_device() {
	block=/sys/class/block/$(basename "$(readlink -f "$1")")
	[ -e "$block/partition" ] || return 0
	grow_partition "/dev/$(basename "$(readlink -f "$block/..")")" "$(cat "$block/partition")"
}

grow_volume() {
	group=$(lvs --noheadings -o vg_name "$root" | tr -d ' ')
	for volume in $(pvs --noheadings -o pv_name -S "vg_name=$group"); do
		grow_device "$volume"
		pvresize "$volume"
	done
	added=$(($(vgs --noheadings -o vg_free_count "$group" | tr -d ' ') - $1))
	if [ "$added" -gt 0 ]; then lvextend -l "+$added" "$root"; fi
}

if [ "${1:-}" = partition ]; then
	grow_partition "$2" "$3"
	exit
fi
root=$(findmnt -vno SOURCE /)
case $(lsblk -ndo TYPE "$root") in
part) grow_device "$root" ;;
lvm) grow_volume "${1:-0}" ;;
disk) ;;
*) say "$root is neither a partition nor a logical volume, and keeps its size" ;;
esac
case $(findmnt -no FSTYPE /) in
ext?) resize2fs "$root" ;;
xfs) xfs_growfs / ;;
btrfs) btrfs filesystem resize max / ;;
esac
