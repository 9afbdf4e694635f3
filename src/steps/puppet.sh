# Applies a manifest, or runs the agent once. Puppet's own state is in a memory file system; of it
# nothing stays. `puppet.sh` sets the options; `facts.sh` exports facts; `ca.pem` is the authority.
# shellcheck shell=sh
manifest='' modules='' hiera='' server='' port='' environment='' certname='' tags='' wait='' legacy_facts=''
# shellcheck disable=SC1091
. "$STEP/puppet.sh"
# shellcheck disable=SC1091
. "$STEP/facts.sh"

# The first fact of an old name that the run in file $1 did not find.
legacy_fact() {
	sed -n "s/.*Unknown variable: '\(:*[a-z0-9_]*\)'.*/\1/p" "$1" |
		grep -E '^:*(osfamily|operatingsystem[a-z]*|lsb[a-z]*|architecture|hardware[a-z]*|fqdn|hostname|domain|ipaddress6?[a-z0-9_]*|macaddress[a-z0-9_]*|netmask[a-z0-9_]*|network[a-z0-9_]*|interfaces|memory[a-z_]*|swap[a-z_]*|physicalprocessorcount|processorcount|processor[0-9]+|kernel[a-z]*version|uptime_?[a-z]*|is_virtual|selinux[a-z_]*|ssh[a-z]*key|rubyversion|puppetversion|timezone|uniqueid|id|gid|bios_[a-z_]+|board[a-z]+|manufacturer|productname|serialnumber|uuid|blockdevices?[a-z0-9_]*)$' |
		head -n 1
}

PATH=$PATH:/opt/puppetlabs/bin
if ! command -v puppet >/dev/null 2>&1; then
	find_manager
	refresh_lists
	package=puppet
	# Older releases have one package only.
	if [ "$MANAGER" = apt-get ] && apt-cache show puppet-agent >/dev/null 2>&1; then
		package=puppet-agent
	fi
	install_packages "$package"
	# A step is one run of it. Who wants the daemon asks for the package.
	if booted_with_systemd; then systemctl disable puppet.service >/dev/null 2>&1 || true; fi
fi
need_lists
# Its daemon would hold the lock of this run.
if booted_with_systemd; then systemctl stop puppet.service >/dev/null 2>&1 || true; fi

work=$RUN/puppet-$N
rm -rf "$work"
mkdir -p "$work/tree" "$work/ssl/certs"
chmod 0700 "$work"
set -- --detailed-exitcodes --color false --logdest console --vardir "$work/var" \
	--ssldir "$work/ssl" --logdir "$work/log" --rundir "$work/run"
major=$(puppet --version)
major=${major%%.*}
if [ "$major" -ge 7 ]; then set -- "$@" --publicdir "$work/public"; fi
# Before 8 they are there by themselves, and the option is not in every version.
if [ -n "$legacy_facts" ] && [ "$major" -ge 8 ]; then set -- "$@" --include_legacy_facts; fi
if [ -n "$tags" ]; then set -- "$@" --tags "$tags"; fi
if [ -n "$environment" ]; then set -- "$@" --environment "$environment"; fi

if [ -n "$server" ]; then
	# Where secrets are, nothing goes to a swap file.
	keys=$RUN/secrets/keys-$N
	rm -rf "$keys"
	mkdir -m 0700 "$keys"
	cp "$RUN/secrets/puppet.$certname" "$keys/$certname.pem"
	if [ -e "$STEP/ca.pem" ]; then cp "$STEP/ca.pem" "$work/ssl/certs/ca.pem"; fi
	set -- agent --onetime --no-daemonize --no-usecacheonfailure --no-splay --verbose \
		--server "$server" --certname "$certname" --privatekeydir "$keys" \
		--http_connect_timeout "$((30 * ${FACTOR:-6}))s" \
		--http_read_timeout "$((5 * ${FACTOR:-6}))m" --waitforcert 5 "$@"
	# Puppet 5 has another word for the port, and only the step's own limit ends its wait.
	if [ "$major" -ge 7 ]; then
		set -- "$@" --maxwaitforcert "$wait" ${port:+--serverport "$port"}
	else
		set -- "$@" ${port:+--masterport "$port"}
	fi
else
	payload | tar -xf - -C "$work/tree"
	path=
	for module in $modules; do path=$path${path:+:}$work/tree/$module; done
	if [ -n "$path" ]; then set -- "$@" --modulepath "$path"; fi
	if [ -n "$hiera" ]; then set -- "$@" --hiera_config "$work/tree/$hiera"; fi
	set -- apply "$@" "$work/tree/$manifest"
fi

echo 0 >"$work/code"
{ puppet "$@" || echo $? >"$work/code"; } 2>&1 | tee "$work/said"
code=$(cat "$work/code")
unknown=
if [ "$major" -ge 8 ] && [ -z "$legacy_facts" ]; then unknown=$(legacy_fact "$work/said"); fi
rm -rf "$work" "${keys:-$work}"
case $code in
0) echo "imgforge: Puppet changed nothing" ;;
# Puppet's word for changes without a failure.
2) echo "imgforge: Puppet made its changes" ;;
*)
	[ -z "$unknown" ] || fail "Puppet 8 has no fact \`$unknown\`: the code says \`\$facts['os']\` and so on," \
		"or the step \`legacy-facts: true\`"
	exit "$code"
	;;
esac
