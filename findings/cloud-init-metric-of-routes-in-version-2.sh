#!/bin/bash
# cloud-init drops the metric of a route in a network configuration of version 2, but for netplan, not of version 1
#
# Seen with: cloud-init 22.4.2-1+deb12u4 (Debian 12).
# Behaviour: a route has `to`, `via` and, if wanted, `metric` ("Networking config Version 2" of cloud-init's
#   documentation, "routes"). Where the system has netplan, the file is handed on. For ifupdown, networkd,
#   NetworkManager and sysconfig it is translated, and destination and gateway are all that is taken of a route: the
#   spare one of two routes to the same network is as good as the first. The same route in version 1 keeps its metric
#   for all but NetworkManager. The exit code is 0, and there is no warning.
# Output seen: "version 1: netplan 50, networkd 50, eni 50, sysconfig 50, network-manager none",
#   "version 2: netplan 50, networkd none, eni none, sysconfig none, network-manager none".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download cloud-init=22.4.2-1+deb12u4
dpkg -x cloud-init_*.deb unpacked
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install jinja2==3.1.6 pyyaml==6.0.3 configobj==5.0.9 \
  jsonpatch==1.33 jsonschema==4.25.1 requests==2.32.5 oauthlib==3.3.1 netifaces==0.11.0
cat >1.yaml <<'YAML'
network:
  version: 1
  config:
    - type: physical
      name: eth0
      subnets:
        - type: static
          address: 192.0.2.10/24
          routes: [{network: 198.51.100.0/24, gateway: 192.0.2.2, metric: 50}]
YAML
cat >2.yaml <<'YAML'
network:
  version: 2
  ethernets:
    eth0:
      addresses: [192.0.2.10/24]
      routes: [{to: 198.51.100.0/24, via: 192.0.2.2, metric: 50}]
YAML
# try VERSION: the metric that each renderer writes
try() {
  local renderer distribution found metrics=()
  for renderer in netplan networkd eni sysconfig network-manager; do
    distribution=debian
    [ $renderer != sysconfig ] || distribution=rhel
    rm -rf out
    PYTHONPATH=unpacked/usr/lib/python3/dist-packages python/bin/python -m cloudinit.cmd.main devel net-convert \
      -p "$1.yaml" -k yaml -D $distribution -O $renderer -d out >said 2>&1 ||
      { cat said; echo "it is refused now"; exit 1; }
    if grep -i 'warn\|metric' said; then echo "there is a warning now"; exit 1; fi
    grep -rq 198.51.100.0 out || { echo "$renderer has no such route now"; exit 1; }
    found=$(grep -rhioE 'metric[0-9]*[ =:]+[0-9]+|192\.0\.2\.2,[0-9]+' out | grep -oE '[0-9]+$' | sort -u) || true
    metrics+=("$renderer ${found:-none}")
  done
  printf '%s\n' "${metrics[@]}" | paste -s -d , | sed "s/,/, /g; s/^/version $1: /"
}
{
  try 1
  try 2
} | tee seen
if ! grep -qx 'version 1: netplan 50, networkd 50, eni 50, sysconfig 50, network-manager none' seen ||
  ! grep -qx 'version 2: netplan 50, networkd none, eni none, sysconfig none, network-manager none' seen; then
  echo "that has changed"
  exit 1
fi
