# Installs the packages listed in `names`, or in the list of this distribution, `names.DISTRO`.
# shellcheck shell=sh
list=
for distro in '' $(os ID) $(os ID_LIKE); do
	if [ -e "$STEP/names${distro:+.$distro}" ]; then
		list=$STEP/names${distro:+.$distro}
		break
	fi
done
[ -n "$list" ] || fail "the step lists no packages for $(os ID)"
# A star in a version is for the package manager, not for the shell.
set -f
# shellcheck disable=SC2046
install_packages $(cat "$list")
