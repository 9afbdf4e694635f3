#!/bin/busybox sh
# What udhcpc calls: the address of a network card, as long as the root is fetched.
# shellcheck disable=SC2154 # the lease is in the environment
[ "$1" = bound ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
for way in $router; do
  ip route add default via "$way" dev "$interface"
  break
done
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
