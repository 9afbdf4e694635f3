//! A playbook on every release, by the step's own script; slow, and fetches from mirrors.

use std::path::Path;

use super::galaxy::unpack;
use super::{ABOUT, Request, Tools};
use crate::address::Mirror;
use crate::distro;
use crate::host::namespace::as_guest_root;
use crate::lock::Fetching;
use crate::machine::Arch;
use crate::proxy::Cache;
use crate::steps::testing;
use crate::store::Store;
use crate::store::ledger::Ledger;
use crate::ui::Ui;

/// What every release must be able to do: modules with bindings, filters with libraries, programs of
/// the guest that are Python.
const PLAYBOOK: &str = r#"
- hosts: all
  tasks:
  - package_facts: {}
  - apt: {name: dpkg, state: present}
  - copy: {content: "{{ 'x' | password_hash('sha512') }}", dest: /hash, mode: '0600'}
  - command: {argv: [/usr/bin/python3, -c, "import simplejson; print(simplejson.dumps([1]))"]}
    register: dumped
  - assert:
      that:
      - "'dpkg' in packages"
      - "ansible_facts.distribution_version is version('12', '>=')"
      - "dumped.stdout == '[1]'"
"#;

/// mmdebstrap's hook: the toolbox is there as in a guest, and the step runs as its runner runs it.
const HOOK: &str = r#"
mkdir "$1/run/imgforge-toolbox" "$1/forge"
cp -a tree/. "$1/run/imgforge-toolbox/"
cp -a forge/. "$1/forge/"
chroot "$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -e -c '
	RUN=/forge STEP=/forge/step N=1
	need_lists() { :; }
	payload() { tar -cf - -C /forge/payload .; }
	. /forge/ansible.sh
	grep -q "^[$]6[$]" /hash
	[ -z "$(find /root -newer /forge/ansible.sh ! -path /root)" ]
'
"#;

#[test]
#[ignore = "e2e: src/toolbox src/distro src/steps/ansible src/steps/ansible.sh"]
fn a_playbook_runs_on_every_release() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let recipes = dir.path().join("recipes");
    write(&recipes.join("ansible/site.yml"), PLAYBOOK);
    let steps = testing::read(&recipes, "- ansible: {playbook: ansible/site.yml}\n").unwrap();
    let store = Store::new(dir.path().join("state"));
    store.prepare().unwrap();
    let ledger = Ledger::open(store.state()).unwrap();
    let ui = Ui::silent().stage("play", "configure");
    let request = Request {
        store: &store,
        ledger: &ledger,
        mirrors: &std::collections::BTreeMap::new(),
        mirror: &Mirror::Host,
        arch: Arch::default(),
        fetching: &Fetching::default(),
        cache: &Cache::new(store.state(), None),
        log: &dir.path().join("proxy.log"),
        ui: &ui,
    };
    // Debian's testing and unstable are no releases.
    for (apt, suite) in distro::all().filter(|(_, suite)| suite.osinfo != "debiantesting") {
        let work = tempfile::tempdir().unwrap();
        let tools = Tools::prepare(&request, &steps, &recipes, suite.name)
            .unwrap_or_else(|error| panic!("{}", error.render()));
        unpack(&tools.disk().unwrap(), &work.path().join("tree")).unwrap();
        let forge = work.path().join("forge");
        let (files, _) = testing::translate(&recipes, &steps[0]);
        for (name, text) in files {
            write(&forge.join("step").join(name), &text);
        }
        write(&forge.join("payload/ansible/site.yml"), PLAYBOOK);
        for (name, text) in ABOUT.files {
            write(&forge.join(name), text);
        }
        write(&forge.join("ansible.sh"), ABOUT.script.unwrap());
        write(&work.path().join("hook"), HOOK);
        as_guest_root("mmdebstrap")
            .args(["--mode=root", "--variant=apt", "--format=null"])
            .arg(format!("--keyring={}", apt.keyring))
            .arg(format!("--components={}", apt.components.join(",")))
            // Ubuntu 25.10's apt asks for a solver that an older host's lacks.
            .arg(r#"--aptopt=binary::apt-get::APT::Solver "internal""#)
            .arg("--include=python3-simplejson")
            .arg("--customize-hook=sh -e hook \"$1\"")
            .args([suite.name, "/dev/null"])
            .scratch(work.path())
            .run()
            .unwrap_or_else(|error| panic!("{}: {}", suite.name, error.render()));
    }
}
