//! Whole builds for machines of another architecture, which run by QEMU's translator: an hour.

use super::*;

/// What steps do in a guest: packages, people, scripts, a restart, and a playbook that a toolbox of the
/// guest's architecture runs. Then a cloud's image, whose machines are told by a seed who they are.
const LAYER: &str = r#"
from: debian-mini
configure:
  - packages: [hello]
  - users: [{name: ops, groups: [sudo]}]
  - shell: {run: "uname -m >/etc/built-on; hello >/etc/said"}
  - reboot
  - shell: {run: "grep -q aarch64 /etc/built-on && id ops"}
  - ansible: {playbook: ansible/site.yml}
check:
  commands:
    - id -nG ops | grep -qw sudo
    - grep -q Hello /etc/said
    - test "$(cat /etc/by-ansible)" = "aarch64 debian"
pack: {profile: fast}
targets: {openstack: {}}
"#;

const PLAYBOOK: &str = r#"
- hosts: all
  tasks:
    - name: what the guest is
      copy:
        content: "{{ ansible_facts.architecture }} {{ ansible_facts.distribution | lower }}\n"
        dest: /etc/by-ansible
        mode: "0644"
    - name: the guest's own packages are seen
      package_facts:
    - name: one of them
      assert: {that: "'hello' in ansible_facts.packages"}
"#;

#[test]
#[ignore = "e2e: src firstboot recipes/debian-mini.yaml"]
fn debian_mini_of_64_bit_arm_is_published_booted_and_built_upon() {
    let world = built_published_pulled_and_booted(Arch::Aarch64);
    slots::instead(2);
    world.write("ansible/site.yml", PLAYBOOK);
    world.image("layer", LAYER);
    let out = world.path("out");
    let built = events(&world, &["build", "layer", "-o", path(&out)]);
    let finished = stages(&built, "finished");
    let wanted = ["configure", "seal", "check", "pack", "finish-openstack"];
    assert!(
        wanted.iter().all(|stage| finished.contains(stage)),
        "{finished:?}"
    );
    let found = |end: &str| {
        let name = format!("layer*{end}");
        let found = tool("find", &[path(&out), "-name", &name]);
        assert_eq!(found.lines().count(), 1, "{found}");
        std::path::PathBuf::from(found.trim())
    };
    let manifest = std::fs::read(found(".openstack.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for (key, value) in [
        ("architecture", "aarch64"),
        ("hw_machine_type", "virt"),
        ("hw_firmware_type", "uefi"),
    ] {
        assert_eq!(manifest["properties"][key], value, "{manifest}");
    }
    tool("qemu-img", &["check", path(&found(".openstack.qcow2"))]);
    assert_eq!(world.left_over(), [""; 0]);
}

#[test]
#[ignore = "e2e: src firstboot recipes/debian-mini.yaml"]
fn debian_mini_of_64_bit_risc_v_is_published_and_booted() {
    built_published_pulled_and_booted(Arch::Riscv64);
}
