# Takes $2 secrets from the host on standard input into the directory $1.
# shellcheck shell=sh
set -u
umask 077
count=0
while IFS=' ' read -r word name value; do
	case $word in
	secret)
		case $name in
		'' | *[!A-Za-z0-9._-]*) exit 1 ;;
		esac
		printf '%s' "$value" | base64 -d >"$1/$name" || exit 1
		count=$((count + 1))
		;;
	secrets-end) break ;;
	esac
done
[ "$count" -eq "$2" ]
