//! Examples again, by their locks, on a host without any network.

use super::shipped;
use crate::slots;
use crate::support::{Run as _, under};
use imgforge::machine::Arch;

/// A network name space that has a loopback and no route.
const APART: [&str; 5] = [
    "unshare",
    "--net",
    "sh",
    "-ec",
    "ip link set lo up; exec \"$0\" \"$@\"",
];

/// Builds an example with its lock, then by the lock alone. The lock names `word`.
fn is_made_again_without_any_network(image: &str, word: &str) {
    slots::take(2);
    let world = shipped(Arch::X86_64);
    world.ok(&["build", image, "--lock", "--until", "seal"]);
    let lock = world.read(&format!("recipes/{image}.lock"));
    assert!(lock.contains(word), "{word}: {lock}");
    let again = world.command(&["build", image, "--locked", "--offline", "--until", "seal"]);
    let said = under(&APART, &again).said().ok();
    assert!(!said.err.contains("other than its lock"), "{}", said.err);
}

/// Puppet's agent comes by apt.
#[test]
#[ignore = "e2e: src/lock src/proxy src/pipeline/lock.rs src/steps/puppet src/hypervisor/door.rs"]
fn what_puppet_made_is_made_again_without_any_network() {
    is_made_again_without_any_network("node-base", "/puppet-agent_");
}

/// Ansible comes in a toolbox, and what it installs by apt.
#[test]
#[ignore = "e2e: src/lock src/proxy src/pipeline/lock.rs src/toolbox src/steps/ansible src/hypervisor/door.rs"]
fn what_ansible_made_is_made_again_without_any_network() {
    is_made_again_without_any_network("research-instance", "\"toolbox ansible-trixie\":");
}
