# Puts an image's own first-boot steps into it, if $1 is "yes", from the job's archive $2. Those of an
# image below, held back while this one was made, come first.
# shellcheck shell=sh
set -eu
all=${IMGFORGE_ROOT:-}/usr/lib/imgforge-instance
[ ! -e "$all.held" ] || mv "$all.held" "$all"
[ "$1" = yes ] || exit 0

trap 'rm -rf "$all.own"' EXIT
mkdir -p "$all/steps" "$all.own"
tar -xOf "$2" instance.tar | tar -xf - -C "$all.own"
own=$all.own/usr/lib/imgforge-instance
below=0
[ ! -e "$all/plan" ] || below=$(grep -c '^step ' "$all/plan")
while read -r word n rest; do
	to=$((n + below))
	echo "$word $to $rest" >>"$all/plan"
	mv "$own/steps/$n" "$all/steps/$to"
	[ ! -e "$own/payload-$n.tar" ] || mv "$own/payload-$n.tar" "$all/payload-$to.tar"
done <"$own/plan"
cat "$own/vars.sh" >>"$all/vars.sh"
for part in lib actions init; do
	rm -rf "${all:?}/$part"
	mv "$own/$part" "$all/"
done
sh "$all/lib/enable.sh"
