# Runs the step's script by its own first line, or its command line with /bin/sh -e.
# shellcheck shell=sh
if [ -e "$STEP/run" ]; then
	exec /bin/sh -e "$STEP/run"
fi
# shellcheck disable=SC1091
. "$STEP/args.sh"
exec "$STEP/script" "$@"
