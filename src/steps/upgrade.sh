# Upgrades every installed package.
# shellcheck shell=sh
refresh_lists
find_manager
case $MANAGER in
apt-get) thrice apt full-upgrade ;;
dnf | yum) thrice dnf_run upgrade ;;
zypper)
	case $(os ID) in
	*tumbleweed*) thrice zypper_run dup ;;
	*) thrice zypper_run update ;;
	esac
	;;
apk) thrice relayed apk upgrade --wait 900 ;;
esac
