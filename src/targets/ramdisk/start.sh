#!/bin/busybox sh
# What the RAM disks of imgforge begin with: words of the kernel's command line, hardware, and the network.
# Why a RAM disk stopped is said on every console.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /bin /etc /tmp /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
exec </dev/console >/dev/console 2>&1

say() { echo "<5>imgforge: $*" >/dev/kmsg; }

# The kernel's panic is the end; `panic=SECONDS` restarts the machine then.
stop() {
  echo "<2>imgforge: stopped: $*" >/dev/kmsg
  exit 1
}

# What a word of the command line says; of several the last one counts.
read -r line </proc/cmdline
given() {
  value=
  set -f
  for word in $line; do
    case $word in "$1="*) value=${word#*=} ;; esac
  done
  set +f
  echo "$value"
}
card=$(given BOOTIF)
card=$(echo "${card#??-}" | tr 'A-F-' 'a-f:')

# Loads the drivers of what is there; those of a bus bring more to light.
hardware() {
  echo none >/seen
  while find /sys/devices -name modalias -exec cat {} + | sort -u | grep -vxFf /seen >/new; do
    cat /new >>/seen
    while read -r alias; do modprobe -q "$alias" 2>/dev/null; done </new
  done
}

# The card that the firmware booted from is the first.
cards() {
  later=
  for link in /sys/class/net/*; do
    [ "${link##*/}" != lo ] || continue
    if [ "$(cat "$link/address")" = "$card" ]; then echo "${link##*/}"; else later="$later ${link##*/}"; fi
  done
  for link in $later; do echo "$link"; done
}

network() {
  ip link set lo up
  for link in $(cards); do ip link set "$link" up; done
  for pause in 1 1 1 2 2 3; do
    cat /sys/class/net/*/carrier 2>/dev/null | grep -q 1 && break
    sleep "$pause"
  done
  for link in $(cards); do
    [ "$(cat "/sys/class/net/$link/carrier" 2>/dev/null)" = 1 ] || continue
    udhcpc -i "$link" -f -q -n -t 5 -T 3 -s /dhcp >/dev/null 2>&1 && return
  done
  stop "no network card got an address from DHCP; there are: $(cards | xargs)"
}
