#!/bin/sh
# Gives the root's logical volume what a larger disk adds; cloud-init grows partitions only.
# grow-root KEPT: so many extents stay free.
set -eu

root=$(findmnt -vno SOURCE /)
group=$(lvs --noheadings -o vg_name "$root" | tr -d ' ')

enlarge() { echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel -N "$2" "$1"; }

# Logical partitions are not for growpart: they grow after the extended one around them.
enlarge_logical() {
	for outer in 1 2 3 4; do
		case $(sfdisk --part-type "$1" "$outer" 2>/dev/null | tr -d ' ') in
		5 | f | 85) enlarge "$1" "$outer" ;;
		esac
	done
	enlarge "$1" "$2"
	partx --update "$1"
}

for volume in $(pvs --noheadings -o pv_name -S "vg_name=$group"); do
	block=/sys/class/block/$(basename "$(readlink -f "$volume")")
	if [ -e "$block/partition" ]; then
		number=$(cat "$block/partition")
		disk=/dev/$(basename "$(readlink -f "$block/..")")
		if [ "$number" -gt 4 ] && [ "$(lsblk -ndo PTTYPE "$disk")" = dos ]; then
			enlarge_logical "$disk" "$number"
		else
			# 1 says that there is nothing to grow into.
			growpart "$disk" "$number" || [ $? -eq 1 ]
		fi
	fi
	pvresize "$volume"
done

added=$(($(vgs --noheadings -o vg_free_count "$group" | tr -d ' ') - $1))
if [ "$added" -gt 0 ]; then lvextend -l "+$added" "$root"; fi
case $(findmnt -no FSTYPE /) in
ext?) resize2fs "$root" ;;
xfs) xfs_growfs / ;;
btrfs) btrfs filesystem resize max / ;;
esac
