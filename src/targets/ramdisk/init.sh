
# Boots an image whose root file system is a squashfs in memory, with an overlay for changes: it
# is fetched over HTTP, or part of this RAM disk. It is mounted only if it is complete.
# shellcheck shell=sh
# shellcheck disable=SC1091 # /imgforge.conf is written with the image
# shellcheck disable=SC2153,SC2154 # NAME and so on come from there
. /imgforge.conf
base=$(given imgforge.base) init=$(given init)
init=${init:-/sbin/init}
mkdir -p /image /lower /changes /newroot

# A root that is larger than the memory would be half a root.
have=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$have" -ge "$USABLE" ] ||
  stop "not enough memory: $NAME needs a machine with $MINIMUM MiB; of this one $have MiB can be used"

fetch() {
  [ -n "$base" ] || stop "the command line has no imgforge.base=URL, beside which $FILE lies"
  address=${base%/*}/$FILE
  hardware
  network
  mount -t tmpfs -o "size=$((SIZE / 1024 + 1024))k" image /image
  for try in 1 2 3 4 5; do
    say "fetching $address"
    why=$(wget -q -O /image/root "$address" 2>&1) && break
    sleep "$try"
  done
  [ -z "$why" ] || stop "$address cannot be fetched: $why"
  for link in $(cards); do
    ip addr flush dev "$link"
    # The system names its cards itself, which it can only while they are down.
    ip link set "$link" down
  done
}

for module in $MODULES; do
  modprobe "$module" || stop "the module $module cannot be loaded"
done
if [ "$FORM" = squashfs ]; then fetch; fi

size=$(stat -c %s /image/root 2>/dev/null)
[ "$size" = "$SIZE" ] || stop "the root is not complete: ${size:-none} of its $SIZE bytes are here"
if [ "$VERIFY" = sha256 ]; then
  sum=$(sha256sum </image/root)
  [ "${sum%% *}" = "$SHA256" ] || stop "the root is not what was made: its SHA-256 is ${sum%% *}, not $SHA256"
fi
loop=$(losetup -f)
losetup -r "$loop" /image/root || stop "there is no loop device for the root"
mount -t squashfs -o ro "$loop" /lower || stop "the root cannot be mounted"
mount -t tmpfs -o mode=0755 changes /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work root /newroot ||
  stop "the overlay cannot be mounted"
say "the root is complete: $SIZE bytes, $VERIFY"

# What another RAM disk, loaded beside this one, lays over the root.
if [ -d /imgforge.d ]; then cp -a /imgforge.d/. /newroot/; fi
[ -L "/newroot$init" ] || [ -x "/newroot$init" ] || stop "the root has no $init"
for dir in proc sys dev; do mount -o move "/$dir" "/newroot/$dir"; done
exec switch_root /newroot "$init"
