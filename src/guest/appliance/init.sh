#!/bin/bash
# The first process of the appliance, in place of libguestfs' own. By emulation each program costs a part
# of a second, so here is started only what the disks at hand need, with virtio devices and no network.
PATH=/sbin:/usr/sbin:/bin:/usr/bin
export PATH

mkdir -p /proc /sys
mount -t proc /proc /proc
mount -t sysfs /sys /sys
mount -t devtmpfs /dev /dev
mkdir -p /dev/pts /dev/shm /sysroot /run /tmp /var/tmp
mount -t devpts /dev/pts /dev/pts
mount -t tmpfs -o mode=1777 shmfs /dev/shm
mount -t tmpfs -o nosuid,size=20%,mode=0755 tmpfs /run
mkdir -p /run/lock /tmp/lvm
chmod 1777 /tmp /var/tmp
ln -s /proc/self/fd /dev/fd
# Devices whose modules are loaded by whoever opens them. udev tells btrfs through its own of each disk.
mknod -m 0600 /dev/btrfs-control c 10 234
mknod -m 0600 /dev/loop-control c 10 237
[ -e /dev/fuse ] || mknod -m 0666 /dev/fuse c 10 229
ln -s ../run/lock /var/lock
[ -e /etc/mtab ] || ln -s /proc/mounts /etc/mtab
read -r id </proc/sys/kernel/random/uuid
echo "${id//-/}" >/etc/machine-id

for udevd in /lib/systemd/systemd-udevd /usr/lib/systemd/systemd-udevd /sbin/udevd /lib/udev/udevd; do
  if [ -x "$udevd" ]; then break; fi
done
"$udevd" --daemon
udevadm trigger --subsystem-match=block --subsystem-match=virtio-ports
udevadm settle --timeout=600
ip addr add 127.0.0.1/8 brd + dev lo scope host
ip link set dev lo up

# What udev has found on a disk or a partition: members of volume groups and arrays, dynamic disks of
# Windows (by the type of their partitions).
found() { grep -qsE "$1" /run/udev/data/b*; }
volumes='ID_FS_TYPE=(LVM|.*_raid_member|ddf)'
dynamic='ID_PART_ENTRY_TYPE=(0x42|5808c8aa-7e8f-42e0-85d2-e1e90434cfb3|af9b60a0-1431-4f62-bc68-3311714a69ad)'
# The daemon's lvm takes an empty file, but none of blanks, for all defaults. What it may use stands in no
# list, where it knows such lists.
: >/tmp/lvm/lvm.conf
if type -P lvmdevices >/dev/null; then echo 'devices { use_devicesfile = 0 }' >/tmp/lvm/lvm.conf; fi
export LVM_SYSTEM_DIR=/tmp/lvm
# The daemon looks into /dev/mapper, whether there is a volume or not.
modprobe dm_mod
if found "$volumes"; then
  # Whole arrays first; what lies on them; then what has lost a disk.
  mdadm -As --auto=yes --no-degraded
  lvm pvscan --cache --activate ay
  mdadm -As --auto=yes --run
fi
if found "$dynamic"; then ldmtool create all; fi

read -r cmdline </proc/cmdline
daemon=(guestfsd)
case $cmdline in
*guestfs_channel=*)
  channel=${cmdline#*guestfs_channel=}
  daemon+=(--channel "${channel%% *}")
  ;;
esac
case $cmdline in *guestfs_verbose=1*) daemon+=(--verbose) ;; esac
"${daemon[@]}"
sync
# QEMU does not start it again, but ends.
reboot -f
