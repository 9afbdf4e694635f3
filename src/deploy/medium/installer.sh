
# Installs a published image on a disk of this machine, which `imgforge deploy disk` verifies first, and ends.
# Why nothing was installed is said on every console.
# shellcheck shell=sh
# shellcheck disable=SC1091 # /imgforge.conf is written with the medium
# shellcheck disable=SC2153,SC2154 # IMAGE and so on come from there
# What is no applet of busybox comes first.
export PATH=/usr/bin:/bin HOME=/tmp

# By a word that is mistyped, another disk or image than was meant would be taken.
set -f
for word in $line; do
  case $word in
    imgforge.image=?* | imgforge.channel=?* | imgforge.disk=?* | imgforge.replace) ;;
    imgforge.machine=?*#sha256=?* | imgforge.report=?*) ;;
    imgforge.end=reboot | imgforge.end=poweroff) ;;
    imgforge.* | '"imgforge.'*)
      stop "$word on the kernel's command line is not known; there are imgforge.image=, imgforge.channel=," \
        "imgforge.disk=, imgforge.machine=URL#sha256=HEX, imgforge.report=, imgforge.end=reboot or poweroff," \
        "and imgforge.replace, without quotes and blanks"
      ;;
  esac
done
set +f
. /imgforge.conf

# Disks show themselves one after the other: no new one for three seconds is the end.
hardware
seen=none quiet=0
while [ "$quiet" -lt 3 ]; do
  sleep 1
  hardware
  now=$(ls /sys/block)
  if [ "$now" = "$seen" ]; then quiet=$((quiet + 1)); else seen=$now quiet=0; fi
done

# Media of this label are this one and its copies. What is mounted is no disk to install on, other media included.
own=
[ -z "$MEDIUM" ] || modprobe -q isofs
for block in /sys/block/*; do
  name=${block##*/}
  [ -n "$MEDIUM" ] || break
  # The volume's label, by ECMA-119.
  label=$(dd if="/dev/$name" bs=1 skip=32808 count=32 2>/dev/null)
  case $label in IMGFORGE_*) ;; *) continue ;; esac
  mkdir -p "/media/$name"
  mount -t iso9660 -o ro "/dev/$name" "/media/$name" ||
    stop "the medium /dev/$name cannot be mounted, so it would count as a disk to install on: take it out"
  [ "$label" != "$MEDIUM" ] || own=/media/$name
done

image=$(given imgforge.image) disk=$(given imgforge.disk) end=$(given imgforge.end)
machine=$(given imgforge.machine) report=$(given imgforge.report)
if [ -n "$image$machine$report" ] || [ -z "$CARRIED" ]; then network; fi
if [ -n "$image" ] || [ -z "$CARRIED" ]; then
  image=${image:-$IMAGE}
elif [ -z "$MEDIUM" ]; then
  image=/repository/$IMAGE
else
  [ -n "$own" ] || stop "the medium $MEDIUM is not there, which has the image: the kernel has no driver for" \
    "its drive, or only kernel and RAM disk of it were booted"
  image=$own/imgforge/$IMAGE
fi
set -- "$image" --disk "${disk:-$DISK}"
channel=$(given imgforge.channel)
channel=${channel:-$CHANNEL}
[ -z "$channel" ] || set -- "$@" --channel "$channel"
[ -z "$KEY" ] || set -- "$@" --key "$KEY"
[ -z "$FINGERPRINT" ] || set -- "$@" --fingerprint "$FINGERPRINT"
case " $line " in *" imgforge.replace "*) set -- "$@" --replace ;; esac
[ -z "$report" ] || set -- "$@" --report "$report"
if [ -n "$machine" ]; then
  set -- "$@" --machine "$machine"
elif [ -e /machine/machine.yaml ]; then
  set -- "$@" --machine /machine/machine.yaml
elif [ -e /machine ] || [ -e /machine.yaml ]; then
  stop "another RAM disk has a machine file under another name: put it at machine/machine.yaml"
fi

say "installing $1"
{
  imgforge --state /tmp/state --progress plain deploy disk "$@" 2>&1
  echo $? >/tmp/code
} | while IFS= read -r said; do
  say "$said"
  echo "$said" >>/tmp/said
done
read -r code </tmp/code
if [ "$code" != 0 ]; then
  tail -n 20 /tmp/said | while IFS= read -r said; do echo "<2>imgforge: $said" >/dev/kmsg; done
  stop "the image is not installed, because of what is said above; on the kernel's command line," \
    "--replace is imgforge.replace, and --disk RULE is imgforge.disk=RULE"
fi
sync
case ${end:-$END} in
  poweroff) poweroff -f ;;
  *) reboot -f ;;
esac
sleep 60
