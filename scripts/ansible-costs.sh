#!/bin/bash
# Measures what Ansible costs an image, by the way it gets there, and writes the table in
# docs/configuration.md: scripts/ansible-costs.sh. As root; it needs `make deps`, a mirror of
# Debian, and a registry of Python packages that pip finds by itself.
# shellcheck disable=SC2016 # Markdown
set -euo pipefail
cd "$(dirname "$0")/.."
# Mounts of its own, which end with it.
[ "${1:-}" = inside ] || exec unshare --mount --propagation private "$0" inside
imgforge=$(realpath "${IMGFORGE:-target/release/imgforge}")
suite=trixie
page=$PWD/docs/configuration.md
world=$(mktemp -d /var/tmp/imgforge-costs.XXXXXX)
trap 'umount "$world"/root/{proc,dev} 2>/dev/null || :; rm -rf "$world"' EXIT
unset PIP_FIND_LINKS
cd "$world"

echo "== a root of $suite, as small as it gets" >&2
mmdebstrap --quiet --variant=apt --include=ca-certificates "$suite" base.tar

used() { du -sx --block-size=1 root | cut -f1; }
files() { find root -xdev -type f | wc -l; }
inside() { DEBIAN_FRONTEND=noninteractive chroot root sh -ec "$1" >"$world/log" 2>&1; }

# One row: $1 in the table, $2 and $3 the commands that install and that show the version.
way() {
	local before had began seconds version
	echo "== $1" >&2
	mkdir root
	tar -xf base.tar -C root
	# What this host trusts, and where it fetches from.
	cp -L /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/
	[ ! -e /etc/pip.conf ] || cp /etc/pip.conf root/etc/
	cp -L /etc/resolv.conf /etc/hosts root/etc/
	mount --bind /proc root/proc
	mount --bind /dev root/dev
	inside 'apt-get -qq update; apt-get clean'
	before=$(used) had=$(files)
	began=$(date +%s%N)
	inside "$2" || { tail -n 20 log >&2; exit 1; }
	seconds=$((($(date +%s%N) - began) / 1000000000))
	version=$(chroot root sh -c "$3" 2>>log | sed -n 1p)
	inside 'apt-get clean; rm -rf /root/.cache'
	echo "| $1 | $version | $seconds | $((($(used) - before) / 1000000)) | $(($(files) - had)) |" >>rows
	umount root/proc root/dev
	rm -rf root
}
venv="apt-get -y install --no-install-recommends python3-venv; python3 -m venv /opt/ansible; /opt/ansible/bin/pip -q install"
way '`apt-get install ansible`' 'apt-get -y install ansible' 'ansible --version'
way '`apt-get install --no-install-recommends ansible-core`' \
	'apt-get -y install --no-install-recommends ansible-core' 'ansible --version'
way '`pip install ansible` in a virtual environment' "$venv ansible" '/opt/ansible/bin/ansible --version'
way '`pip install ansible-core` in a virtual environment' "$venv ansible-core" '/opt/ansible/bin/ansible --version'

echo "== imgforge: the same playbook run from the toolbox" >&2
mkdir -p site/recipes site/ansible
echo 'state: state' >site/imgforge.yaml
base="install: {bootstrap: {suite: $suite}}\nmachine: {disk: 3GiB, memory: 1GiB}"
printf 'name: base\n%b\n' "$base" >site/recipes/base.yaml
printf 'name: %s\nfrom: base\nconfigure: [{%s}]\n' bare "shell: {run: 'touch /etc/done'}" >site/recipes/bare.yaml
printf 'name: %s\nfrom: base\nconfigure: [{%s}]\n' play 'ansible: {playbook: ansible/site.yml}' >site/recipes/play.yaml
printf -- '- hosts: all\n  tasks:\n  - file: {path: /etc/done, state: touch, mode: "0644"}\n' >site/ansible/site.yml
for image in bare play; do
	timeout 3600 "$imgforge" -C site build "$image" --until seal --progress plain >&2
done
# Of the entry of image $1 and stage $2: the field $3 of its record.
meta() {
	python3 - "$@" <<-'END'
		import glob, json, os, sys
		image, stage, field = sys.argv[1:]
		for path in glob.glob("site/state/store/*/meta.json"):
		    meta = json.load(open(path))
		    if (meta["image"], meta["stage"]) == (image, stage):
		        meta["dir"] = os.path.dirname(path)
		        for word in field.split("."):
		            meta = meta[word]
		        print(meta)
	END
}
listed() {
	LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=${IMGFORGE_GUESTFS_SETTINGS:-force_tcg} \
		guestfish --ro -a "$(meta "$1" seal dir)/disk.qcow2" -i find / | LC_ALL=C sort
}
listed bare >bare.files
listed play >play.files
added=$(LC_ALL=C comm -13 bare.files play.files)
[ -z "$added" ] || { echo "the image has files that only Ansible can have left:"; echo "$added"; exit 1; } >&2
toolbox=$(meta "ansible-$suite" toolbox took)
seconds=$(python3 -c 'import sys; a, b, c = map(float, sys.argv[1:]); print(round(a - b - c))' \
	"$(meta play configure took)" "$(meta bare configure took)" "$toolbox")
version=$(meta "ansible-$suite" toolbox facts.versions.ansible)
size=$(($(du --block-size=1 "$(meta "ansible-$suite" toolbox dir)/toolbox.raw" | cut -f1) / 1000000))
accel=$({ "$imgforge" doctor --json 2>/dev/null || :; } | python3 -c 'import json, sys
print(next(it["level"] == "ok" and "KVM" or "TCG" for it in json.load(sys.stdin) if it["what"] == "acceleration"))')
{
	echo "Measured on $(date +%F) with \`scripts/ansible-costs.sh\`: $(nproc) cores, guests by $accel, Debian $suite;" \
		"packages come from mirrors, and the first four rows run in a directory of the host, not in a guest."
	echo
	echo '| way | version | seconds to install | MB in the image | files in the image |'
	echo '|---|---|---|---|---|'
	cat rows
	echo "| imgforge's toolbox | $version | 0 | 0 | 0 |"
	echo
	printf '%s\n' "The toolbox itself took ${toolbox%.*} s, once for a release, and has $size MB on the host. A step with one task took" \
		"$seconds s longer than a \`shell\` step with the same effect: that is Ansible's own start in the guest."
} >table
python3 - "$page" table <<'END'
import sys
page, table = sys.argv[1:]
text, table = open(page).read(), open(table).read()
begin, end = "<!-- costs: begin -->\n", "<!-- costs: end -->"
head, rest = text.split(begin)
open(page, "w").write(head + begin + table + end + rest.split(end)[1])
END
cat table
