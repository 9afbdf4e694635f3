# Runs cloud-init with `user-data` as the first boot of a machine would, then makes it forget that.
# shellcheck shell=sh
command -v cloud-init >/dev/null 2>&1 || install_packages cloud-init
cloud-init schema --config-file "$STEP/user-data" ||
	fail "cloud-init does not accept the user data"

settings=/etc/cloud/cloud.cfg.d/99-imgforge-step.cfg
seed=/var/lib/cloud/seed/nocloud
cloud-init clean --logs --seed
mkdir -p "$seed"
cp "$STEP/user-data" "$seed/user-data"
echo "instance-id: imgforge-step-$N" >"$seed/meta-data"
# What belongs to a machine and not to an image is left alone, unless the user data names it.
cat >"$settings" <<-SETTINGS
	datasource_list: [NoCloud]
	network: {config: disabled}
	preserve_hostname: true
	manage_etc_hosts: false
	locale: false
	users: []
	ssh_deletekeys: false
	ssh_genkeytypes: []
	growpart: {mode: "off"}
	resize_rootfs: false
	apt: {preserve_sources_list: true}
SETTINGS

code=0
for stage in "init --local" init "modules --mode config" "modules --mode final"; do
	# shellcheck disable=SC2086
	cloud-init $stage || code=$?
done
if [ "$code" -eq 0 ] && ! grep -q '"errors": \[\]' /run/cloud-init/result.json; then
	code=1
fi
if [ "$code" -ne 0 ]; then cat /run/cloud-init/result.json >&2; fi
rm -f "$settings"
cloud-init clean --logs --seed
rm -rf /run/cloud-init
[ "$code" -eq 0 ] || fail "cloud-init reports errors"
