# Applies a manifest, or runs the agent once. Puppet's own state is in a memory file system; of it
# nothing stays. `puppet.sh` sets the options; `facts.sh` exports facts; `ca.pem` is the authority.
# shellcheck shell=sh
manifest='' modules='' hiera='' server='' environment='' certname='' tags='' wait=''
# shellcheck disable=SC1091
. "$STEP/puppet.sh"
# shellcheck disable=SC1091
. "$STEP/facts.sh"

PATH=$PATH:/opt/puppetlabs/bin
if ! command -v puppet >/dev/null 2>&1; then
	find_manager
	case $MANAGER in
	apt-get) install_packages puppet-agent ;;
	*) install_packages puppet ;;
	esac
fi
# Its daemon would hold the lock of this run.
if booted_with_systemd; then systemctl stop puppet.service >/dev/null 2>&1 || true; fi

work=$RUN/puppet-$N
rm -rf "$work"
mkdir -p "$work/tree" "$work/ssl/private_keys" "$work/ssl/certs"
chmod 0700 "$work" "$work/ssl/private_keys"
set -- --detailed-exitcodes --color false --logdest console --vardir "$work/var" \
	--ssldir "$work/ssl" --publicdir "$work/public" --logdir "$work/log" --rundir "$work/run"
if [ -n "$tags" ]; then set -- "$@" --tags "$tags"; fi
if [ -n "$environment" ]; then set -- "$@" --environment "$environment"; fi

if [ -n "$server" ]; then
	cp "$RUN/secrets/puppet.$certname" "$work/ssl/private_keys/$certname.pem"
	if [ -e "$STEP/ca.pem" ]; then cp "$STEP/ca.pem" "$work/ssl/certs/ca.pem"; fi
	set -- agent --onetime --no-daemonize --no-usecacheonfailure --no-splay --verbose \
		--server "$server" --certname "$certname" --http_connect_timeout 30s \
		--waitforcert 5 --maxwaitforcert "$wait" "$@"
else
	payload | tar -xf - -C "$work/tree"
	path=
	for module in $modules; do path=$path${path:+:}$work/tree/$module; done
	if [ -n "$path" ]; then set -- "$@" --modulepath "$path"; fi
	if [ -n "$hiera" ]; then set -- "$@" --hiera_config "$work/tree/$hiera"; fi
	set -- apply "$@" "$work/tree/$manifest"
fi

code=0
puppet "$@" || code=$?
rm -rf "$work"
case $code in
0) echo "imgforge: Puppet changed nothing" ;;
# Puppet's word for changes without a failure.
2) echo "imgforge: Puppet made its changes" ;;
*) exit "$code" ;;
esac
