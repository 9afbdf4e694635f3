# Adds a package repository. `repository.sh` sets uri, id, suite and components; `key` is its key.
# shellcheck shell=sh
uri='' id='' suite='' components=''
# shellcheck disable=SC1091
. "$STEP/repository.sh"

# Prints where the key was put, in directory $1.
place_key() {
	suffix=gpg
	if grep -q -e '-----BEGIN' "$STEP/key"; then suffix=asc; fi
	mkdir -p "$1"
	cp "$STEP/key" "$1/$id.$suffix"
	chmod 0644 "$1/$id.$suffix"
	echo "$1/$id.$suffix"
}

rpm_repository() {
	check=
	if [ -e "$STEP/key" ]; then
		key=$(place_key /etc/pki/rpm-gpg)
		rpm --import "$key"
		check="gpgcheck=1
gpgkey=file://$key"
	fi
	mkdir -p "$1"
	printf '[%s]\nname=%s\nbaseurl=%s\nenabled=1\n%s\n' "$id" "$id" "$uri" "$check" >"$1/$id.repo"
	relabel "$1" /etc/pki/rpm-gpg
}

find_manager
case $MANAGER in
apt-get)
	if [ -z "$suite" ]; then suite=$(os VERSION_CODENAME); fi
	[ -n "$suite" ] || fail "os-release names no VERSION_CODENAME: give the step a \`suite\`"
	{
		printf 'Types: deb\nURIs: %s\nSuites: %s\n' "$uri" "$suite"
		case $suite in
		*/) ;;
		*) printf 'Components: %s\n' "${components:-main}" ;;
		esac
		if [ -e "$STEP/key" ]; then
			printf 'Signed-By: %s\n' "$(place_key /etc/apt/keyrings)"
		fi
	} >"/etc/apt/sources.list.d/$id.sources"
	;;
dnf | yum) rpm_repository /etc/yum.repos.d ;;
zypper) rpm_repository /etc/zypp/repos.d ;;
apk)
	if [ -e "$STEP/key" ]; then cp "$STEP/key" "/etc/apk/keys/$(cat "$STEP/key-name")"; fi
	grep -qxF "$uri" /etc/apk/repositories || echo "$uri" >>/etc/apk/repositories
	;;
esac
rm -f "$RUN/lists-fresh"

# Reads its lists and no others: the step that installs from it would fail without naming it. At the
# first boot of a machine there may be no network yet.
read_its_lists() {
	case $MANAGER in
	apt-get)
		quiet_apt
		apt update -o "Dir::Etc::SourceList=/etc/apt/sources.list.d/$id.sources" \
			-o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=false
		;;
	dnf | yum) dnf_run --disablerepo='*' --enablerepo="$id" makecache ;;
	zypper) zypper_run refresh "$id" ;;
	apk) relayed apk update --wait 900 ;;
	esac
}

if [ -n "${JOB:-}" ]; then
	code=0
	read_its_lists >"$RUN/its-lists" 2>&1 || code=$?
	cat "$RUN/its-lists"
	[ "$code" -eq 0 ] || fail "the repository $id cannot be used: $(why_unread <"$RUN/its-lists")"
	rm -f "$RUN/its-lists"
fi
