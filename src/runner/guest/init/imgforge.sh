#!/bin/sh
### BEGIN INIT INFO
# Provides:          imgforge
# Required-Start:    $all
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: imgforge's runner
### END INIT INFO
case ${1:-start} in
start) setsid /bin/sh /usr/lib/imgforge/runner </dev/null >/dev/null 2>&1 & ;;
esac
exit 0
