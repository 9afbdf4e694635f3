//! Layers on the smallest Debian, each configured for real: what they do, what they leave, and how
//! their failures look.

mod agent;
mod chain;
mod failures;
mod world;

use world::{World, guest, tail, world};

const PLAYBOOK: &str = r#"
- hosts: web
  tasks:
    - name: what is installed
      package_facts:
    - name: the guest's own packages are seen
      assert: {that: "'dpkg' in ansible_facts.packages"}
    - name: a package
      apt: {name: hello, update_cache: true}
    - name: a secret of the vault
      copy: {content: "{{ sealed }}", dest: /etc/opened, mode: "0644"}
    - name: the manager of services is the real one
      systemd_service: {name: tmp-layer.service, enabled: false}
      ignore_errors: true
    - name: another user than root
      command: id -un
      become: true
      become_user: nobody
      register: other
      changed_when: false
    - name: it was that user
      assert: {that: "other.stdout == 'nobody'"}
    - name: a collection
      acme.tools.note: {path: /etc/note}
"#;

const MODULE: &str = r#"
from ansible.module_utils.basic import AnsibleModule
import os
def main():
    module = AnsibleModule(argument_spec=dict(path=dict(type="str", required=True)))
    path = module.params["path"]
    changed = not os.path.exists(path)
    if changed:
        open(path, "w").write("note\n")
    module.exit_json(changed=changed)
main()
"#;

/// `sealed: opened`, encrypted with the vault password of [`World::build`].
const VAULT: &str = include_str!("../../fixtures/ansible/vault.yml");

fn collection(world: &World) {
    let text =
        "namespace: acme\nname: tools\nversion: 1.2.3\nreadme: README.md\nauthors: [nobody]\n";
    world.write("ansible/acme/tools/galaxy.yml", text);
    world.write("ansible/acme/tools/README.md", "");
    world.write("ansible/acme/tools/plugins/modules/note.py", MODULE);
    let requirements = "collections: [{name: ./acme/tools, type: dir}]\n";
    world.write("ansible/requirements.yml", requirements);
}

/// Builds `play`, a layer with everything that an `ansible` step can have.
#[track_caller]
fn play(world: &World) -> String {
    collection(world);
    world.write("ansible/site.yml", PLAYBOOK);
    world.write("ansible/group_vars/web.yml", VAULT);
    world.image(
        "play",
        "from: mini\nsecrets: {vault: {env: IMGFORGE_TEST_VAULT}}\nconfigure:\n- ansible:\n    \
         playbook: ansible/site.yml\n    requirements: ansible/requirements.yml\n    \
         vault-password: vault\n    groups: [web]\n    idempotent: true\n",
    );
    world.built("play")
}

#[test]
#[ignore = "e2e: src/steps src/runner src/toolbox"]
fn a_playbook_runs_twice_with_its_collection_and_vault() {
    let world = world();
    let said = play(&world);
    assert!(said.contains("task 4: a package ("), "{}", tail(&said));
    assert!(said.contains("the second run, which must not change anything"));
    assert!(
        !said.contains("open sesame"),
        "the vault's password was shown"
    );
    assert!(world.path("ansible/requirements.lock.yml").exists());
    let play = world.sealed_disk("play");
    let opened = guest("virt-cat", &["-a", play.to_str().unwrap(), "/etc/opened"]);
    assert_eq!(opened.trim(), "opened");
}

#[test]
#[ignore = "e2e: src/steps src/runner src/toolbox"]
fn e2e_an_image_has_what_its_playbook_did_and_nothing_of_ansible() {
    let world = world();
    play(&world);
    world.built("mini");
    let (mini, play) = (world.sealed_disk("mini"), world.sealed_disk("play"));
    let disks = ["-a", mini.to_str().unwrap(), "-A", play.to_str().unwrap()];
    let differ = guest("virt-diff", &disks);
    let touched: Vec<&str> = differ.lines().filter_map(path).collect();
    for wanted in ["/usr/bin/hello", "/etc/note"] {
        assert!(touched.contains(&wanted), "{wanted}: {differ}");
    }
    let known = [OF_THE_PLAYBOOK, OF_A_BOOT].concat();
    let other: Vec<&&str> = touched
        .iter()
        .filter(|path| !known.iter().any(|known| path.starts_with(known)))
        .collect();
    assert!(other.is_empty(), "{other:#?}");
}

/// What the playbook did, and what the installation of its package touches.
const OF_THE_PLAYBOOK: &[&str] = &[
    "/etc/note",
    "/etc/opened",
    "/usr/bin/hello",
    "/usr/share/doc/hello",
    "/usr/share/info/",
    "/usr/share/locale/",
    "/usr/share/man/",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/log/",
];

/// What a first boot touches, which `mini`, without steps, never had, and what the seal gives each
/// image of its own.
const OF_A_BOOT: &[&str] = &[
    "/boot/grub/grubenv",
    "/etc/.updated",
    "/etc/default/locale",
    "/etc/ld.so.cache",
    "/etc/machine-id",
    "/usr/lib/os-release",
    "/var/.updated",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/",
];

/// The path of a line of virt-diff that tells of a file that came, went or changed. Directories
/// change with the names in them, which have lines of their own.
fn path(line: &str) -> Option<&str> {
    let file = line.starts_with(['+', '-', '=']) && line.get(2..3) != Some("d");
    let at = line.find(" /").filter(|_| file)?;
    line[at + 1..].split(" -> ").next()
}

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_a_failing_task_is_named_and_what_came_before_is_not_repeated() {
    let world = world();
    let tasks: String = (1..8)
        .map(|n| {
            let code = u8::from(n == 7);
            format!("    - {{name: number {n}, command: sh -c 'exit {code}'}}\n")
        })
        .collect();
    let playbook = format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}");
    world.write("ansible/fails.yml", &playbook);
    world.image(
        "fails",
        "from: mini\nconfigure: [{ansible: {playbook: ansible/fails.yml}}]\n",
    );
    world.fails_to_configure(
        "fails",
        &[
            "step 1/1 (ansible ansible/fails.yml) failed with exit code 2",
            "TASK [number 7]",
            &world.goes_on("build fails --until configure"),
        ],
    );
    world.write(
        "ansible/restless.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: still, command: 'true', changed_when: false}\n    \
         - {name: never the same, command: date}\n",
    );
    world.image(
        "restless",
        "from: mini\nconfigure: [{ansible: {playbook: ansible/restless.yml, idempotent: true}}]\n",
    );
    world.fails_to_configure(
        "restless",
        &[
            "step 1/1 (ansible ansible/restless.yml) failed with exit code 1",
            "the playbook is not idempotent, its second run changed:",
            "imgforge:   never the same",
            &world.goes_on("build restless --until configure"),
        ],
    );
}

#[test]
#[ignore = "e2e: src/steps src/runner src/toolbox"]
fn a_manifest_is_applied_with_its_modules_and_data() {
    let world = world();
    world.write(
        "puppet/site.pp",
        "include acme\nnotice(\"role ${facts['role']}\")\n",
    );
    let class = "class acme (String $text = 'none') {\n  file { '/etc/acme': content => \"${text}\\n\" }\n}\n";
    world.write("puppet/modules/acme/manifests/init.pp", class);
    world.write(
        "puppet/hiera.yaml",
        "version: 5\nhierarchy: [{name: Common, path: common.yaml}]\n",
    );
    world.write("puppet/data/common.yaml", "acme::text: from hiera\n");
    world.image(
        "pup",
        "from: mini\nconfigure:\n- puppet:\n    manifest: puppet/site.pp\n    modules: [puppet/modules]\n    \
         hiera: puppet/hiera.yaml\n    facts: {role: tester}\n",
    );
    let said = world.built("pup");
    assert!(said.contains("role tester"), "{}", tail(&said));
    assert!(said.contains("Puppet made its changes"), "{}", tail(&said));
    let disk = world.sealed_disk("pup");
    let cat = |path: &str| guest("virt-cat", &["-a", disk.to_str().unwrap(), path]);
    assert_eq!(cat("/etc/acme"), "from hiera\n");
    let left = guest("virt-ls", &["-a", disk.to_str().unwrap(), "-R", "/var/lib"]);
    assert!(!left.contains("/private_keys/"), "{left}");
}
