//! Ubuntu 24.04's needrestart, which restarts outdated services at the end of every installation of
//! packages: not in the middle of a build's steps, and never what runs them.

use crate::gate::world;
use crate::slots;

/// Each start of a unit has an id. `replace` installs again what a service and the runner's shell
/// run on; with `env -i` it does not know that it is a step's, as unattended-upgrades does not.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
started() { systemctl show -p InvocationID --value "$1"; }
replace() {
	"$@" apt-get -q -y -o Dpkg::Use-Pty=0 install --reinstall dash libselinux1
	needrestart -b | tee /run/outdated
	for unit in cron imgforge-runner; do
		grep -qxF "NEEDRESTART-SVC: $unit.service" /run/outdated
	done
}
alone="env -i PATH=$PATH DEBIAN_FRONTEND=noninteractive"
cron=$(started cron)
runner=$(started imgforge-runner)
[ -n "$cron" ] && [ -n "$runner" ]

replace env
replace $alone
[ "$(started cron)" = "$cron" ]

# The one that 24.04 came with restarts whatever the mode.
apt-get -q -y -o Dpkg::Use-Pty=0 install --allow-downgrades needrestart=3.6-7ubuntu4
replace $alone
[ "$(started cron)" = "$cron" ]
[ "$(started imgforge-runner)" = "$runner" ]

# With the mode alone it restarts what is outdated, but for the runner.
cd /etc/needrestart/conf.d
cp zz-imgforge.conf /run/held
echo "\$nrconf{restart} = 'l';" >zz-imgforge.conf
$alone apt-get -q -y -o Dpkg::Use-Pty=0 install --reinstall libselinux1
cp /run/held zz-imgforge.conf
[ "$(started cron)" != "$cron" ]
[ "$(started imgforge-runner)" = "$runner" ]
"#;

/// needrestart comes with a step; what it would restart, it does not.
#[test]
#[ignore = "e2e: src/runner src/steps"]
fn no_service_is_restarted_in_the_middle_of_a_step() {
    slots::take(1);
    let world = world("bios");
    world.write("replace.sh", SCRIPT);
    world.image(
        "noble",
        "install: {bootstrap: {suite: noble, packages: [libpam-systemd, cron]}}\n\
         configure: [{packages: [needrestart]}, {shell: replace.sh}]\n",
    );
    world.ok(&["build", "noble", "--until", "configure"]);
}
