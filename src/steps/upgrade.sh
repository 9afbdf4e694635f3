# Upgrades every installed package.
# shellcheck shell=sh
refresh_lists
find_manager
case $MANAGER in
apt-get) thrice apt full-upgrade ;;
dnf) thrice dnf -y upgrade ;;
yum) thrice yum -y upgrade ;;
zypper)
	case $(os ID) in
	*tumbleweed*) thrice zypper_run dup ;;
	*) thrice zypper_run update ;;
	esac
	;;
apk) thrice apk upgrade --wait 900 ;;
esac
