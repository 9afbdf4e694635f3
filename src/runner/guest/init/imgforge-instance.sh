#!/bin/sh
### BEGIN INIT INFO
# Provides:          imgforge-instance
# Required-Start:    $all
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: First-boot steps of this image
### END INIT INFO
start() {
	/bin/sh /usr/lib/imgforge-instance/lib/instance.sh
}
case ${1:-} in
start) start ;;
esac
