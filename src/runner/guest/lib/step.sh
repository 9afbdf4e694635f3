# Runs the action $2 of step $1 in a process of its own, with the recipe's variables.
# shellcheck shell=sh
set -eu
umask 022
# The runner is the last to be killed when memory is short; a step is not.
{ echo 0 >/proc/self/oom_score_adj; } 2>/dev/null || true
cd "${IMGFORGE_ROOT:-/}"
export HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive
# Ubuntu's needrestart would restart services in the middle of an upgrade, and what runs the steps.
export NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
N=$1
export N
STEP=$RUN/steps/$1
export STEP
# shellcheck disable=SC1090,SC1091
{
	. "$RUN/vars.sh"
	. "$STEP/env.sh"
	. "$RUN/lib/common.sh"
	. "$RUN/lib/packages.sh"
	. "$RUN/actions/$2.sh"
}
