//! Layers on the smallest Debian, each configured for real: what they do, what they leave, and how
//! their failures look.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("imgforge-layers-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let world = World { dir };
        world.write("imgforge.yaml", "state: state\n");
        world.image(
            "mini",
            "install: {bootstrap: {suite: trixie}}\nmachine: {disk: 3GiB, memory: 1GiB}\n",
        );
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn image(&self, name: &str, body: &str) {
        self.write(
            &format!("recipes/{name}.yaml"),
            &format!("name: {name}\n{body}"),
        );
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    fn build(&self, name: &str, until: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_imgforge"))
            .arg("-C")
            .arg(self.dir.path())
            .args(["build", name, "--until", until, "--progress", "plain", "-v"])
            .env("IMGFORGE_TEST_VAULT", "open sesame 1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn built(&self, name: &str) -> String {
        let output = self.build(name, "seal");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {}", tail(&stderr));
        stderr
    }

    /// The sealed disk of an image.
    fn disk(&self, name: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path("state/store"))
            .unwrap()
            .flatten();
        let of = |dir: &Path| {
            let meta = std::fs::read(dir.join("meta.json")).ok()?;
            let meta: serde_json::Value = serde_json::from_slice(&meta).ok()?;
            (meta["image"] == name && meta["stage"] == "seal").then(|| dir.join("disk.qcow2"))
        };
        entries
            .filter_map(|entry| of(&entry.path()))
            .next()
            .unwrap()
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(80).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The guest of libguestfs' own programs.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "tests look with the real clients"
)]
fn guest(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env("LIBGUESTFS_BACKEND", "direct")
        .env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

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
const VAULT: &str = include_str!("../fixtures/ansible/vault.yml");

fn collection(world: &World) {
    let text =
        "namespace: acme\nname: tools\nversion: 1.2.3\nreadme: README.md\nauthors: [nobody]\n";
    world.write("ansible/acme/tools/galaxy.yml", text);
    world.write("ansible/acme/tools/README.md", "");
    world.write("ansible/acme/tools/plugins/modules/note.py", MODULE);
    let requirements = "collections: [{name: ./acme/tools, type: dir}]\n";
    world.write("ansible/requirements.yml", requirements);
}

#[test]
#[ignore = "vm"]
fn a_playbook_runs_twice_with_its_collection_and_vault() {
    let world = World::new();
    collection(&world);
    world.write("ansible/site.yml", PLAYBOOK);
    world.write("ansible/group_vars/web.yml", VAULT);
    world.image(
        "play",
        "from: mini\nsecrets: {vault: {env: IMGFORGE_TEST_VAULT}}\nconfigure:\n- ansible:\n    \
         playbook: ansible/site.yml\n    requirements: ansible/requirements.yml\n    \
         vault-password: vault\n    groups: [web]\n    idempotent: true\n",
    );
    let said = world.built("play");
    assert!(said.contains("task 4: a package ("), "{}", tail(&said));
    assert!(said.contains("the second run, which must not change anything"));
    assert!(
        !said.contains("open sesame"),
        "the vault's password was shown"
    );
    assert!(world.path("ansible/requirements.lock.yml").exists());
    let play = world.disk("play");
    let opened = guest("virt-cat", &["-a", play.to_str().unwrap(), "/etc/opened"]);
    assert_eq!(opened.trim(), "opened");
}

#[test]
#[ignore = "vm"]
fn a_manifest_is_applied_with_its_modules_and_data() {
    let world = World::new();
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
    let disk = world.disk("pup");
    let cat = |path: &str| guest("virt-cat", &["-a", disk.to_str().unwrap(), path]);
    assert_eq!(cat("/etc/acme"), "from hiera\n");
    let left = guest("virt-ls", &["-a", disk.to_str().unwrap(), "-R", "/var/lib"]);
    assert!(!left.contains("/private_keys/"), "{left}");
}
