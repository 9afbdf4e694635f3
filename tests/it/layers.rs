//! Images that build on images, and several builds at once.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        world.write("imgforge.yaml", "state: state\n");
        let mut disk = vec![0u8; 4 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        world.write("files/disk.raw", "");
        std::fs::write(world.path("files/disk.raw"), disk).unwrap();
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
    fn run(&self, args: &[&str]) -> Output {
        Command::new(crate::slots::IMGFORGE_WITHOUT_GUESTS)
            .arg("-C")
            .arg(self.dir.path())
            .args(args)
            .args(["--progress", "plain", "--accel", "tcg"])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `IMAGE STAGE` and key of every stage of every image.
    fn keys(&self) -> std::collections::BTreeMap<String, String> {
        let plans: Value = serde_json::from_str(&self.ok(&["plan", "--all", "--json"])).unwrap();
        let stages = plans
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|plan| plan["stages"].as_array());
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        stages
            .flatten()
            .map(|s| {
                (
                    format!("{} {}", word(&s["image"]), word(&s["label"])),
                    word(&s["key"]),
                )
            })
            .collect()
    }
}

const IMPORT: &str = "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n";

fn chain() -> World {
    let world = World::new();
    world.image("base", IMPORT);
    world.image(
        "middle",
        "from: base\nconfigure: [{shell: firstboot/middle.sh}]\n",
    );
    world.image(
        "leaf",
        "from: middle\nconfigure: [{ansible: {playbook: ansible/site.yml}}]\n",
    );
    world.write("firstboot/middle.sh", "#!/bin/sh\n");
    world.write("firstboot/unused.sh", "#!/bin/sh\n");
    world.write("ansible/site.yml", "- import_playbook: more.yml\n");
    world.write("ansible/more.yml", "- hosts: all\n  roles: [web]\n");
    world.write("ansible/roles/web/tasks/main.yml", "- debug:\n");
    world.write("ansible/unused.yml", "- hosts: all\n");
    world
}

/// The stages whose keys differ, by image.
fn changed(world: &World, change: impl FnOnce(&World)) -> Vec<String> {
    let before = world.keys();
    change(world);
    let after = world.keys();
    let differ = after
        .iter()
        .filter(|(name, key)| before.get(*name) != Some(*key));
    let mut images: Vec<String> = differ
        .map(|(name, _)| name.split(' ').next().unwrap().to_owned())
        .collect();
    images.dedup();
    images
}

#[test]
fn a_change_in_the_middle_rebuilds_the_middle_and_what_builds_on_it() {
    let world = chain();
    let script = |text: &'static str| move |world: &World| world.write("firstboot/middle.sh", text);
    assert_eq!(
        changed(&world, script("#!/bin/sh\n# changed\n")),
        ["leaf", "middle"]
    );
    let unused = |world: &World| {
        world.write("firstboot/unused.sh", "#!/bin/sh\n# a comment\n");
        world.write("ansible/unused.yml", "- hosts: none # a comment\n");
    };
    assert_eq!(changed(&world, unused), Vec::<String>::new());
    let role = |world: &World| world.write("ansible/roles/web/tasks/main.yml", "- ping:\n");
    assert_eq!(changed(&world, role), ["leaf"]);
    let imported = |world: &World| world.write("ansible/more.yml", "- hosts: localhost\n");
    assert_eq!(changed(&world, imported), ["leaf"]);
}

#[test]
fn the_plan_of_all_draws_what_builds_on_what() {
    let world = chain();
    world.image("other", IMPORT);
    let drawn = world.ok(&["plan", "--all"]);
    let name = |line: &str| {
        line.chars()
            .take(32)
            .collect::<String>()
            .trim_end()
            .to_owned()
    };
    let lines: Vec<String> = drawn.lines().map(name).collect();
    assert_eq!(
        lines,
        ["base", "└─ middle", "   └─ leaf", "other"],
        "{drawn}"
    );
    let leaf = drawn.lines().nth(2).unwrap();
    assert!(leaf.ends_with("run configure, seal, check, pack"), "{leaf}");
}

#[test]
fn one_failure_stops_only_what_builds_on_it() {
    let world = World::new();
    world.image("bad", "install: {import: {image: files/broken.qcow2}}\n");
    world.image("child", "from: bad\nconfigure: [{shell: {run: 'true'}}]\n");
    world.image("good", IMPORT);
    world.image(
        "twin",
        "install: {import: {image: files/disk.raw}}\nmachine: {disk: 2GiB}\n",
    );
    world.write("files/broken.qcow2", "QFI\u{fb} but nothing more");
    let output = world.run(&["build", "--all", "--until", "install"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("2 of 4 images failed"), "{stderr}");
    assert!(stderr.contains("child (it builds on bad)"), "{stderr}");
    let disks = |name: &str| -> usize {
        let entries = std::fs::read_dir(world.path("state/store"))
            .unwrap()
            .flatten();
        let metas =
            entries.filter_map(|e| std::fs::read_to_string(e.path().join("meta.json")).ok());
        metas
            .filter(|meta| meta.contains(&format!("\"image\": \"{name}\"")))
            .count()
    };
    assert_eq!((disks("good"), disks("twin"), disks("bad")), (1, 1, 0));
}

#[test]
fn steps_that_only_a_build_has_are_refused_in_an_image_s_own() {
    let world = chain();
    world.write("files/data.yaml", "#cloud-config\n");
    let step = "- ansible: {playbook: ansible/site.yml}\n- cloud-init: {user-data: files/data.yaml}\n\
                - puppet: {agent: {server: 'puppet.example:x', certname: Node}}\n\
                - shell: {run: 'true', secrets: {TOKEN: token}}\n";
    world.image("wrong", &format!("{IMPORT}instance:\n{step}"));
    let output = world.run(&["validate", "recipes/wrong.yaml"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for wanted in [
        "`ansible` cannot run in `instance`",
        "`cloud-init` cannot run in `instance`",
        "Puppet's agent cannot run in `instance`",
        "`Node` is no name for a certificate",
        "`puppet.example:x` is no name of a server",
        "a step of `instance` has no secrets",
    ] {
        assert!(stderr.contains(wanted), "{wanted}: {stderr}");
    }
}

#[test]
fn a_release_without_a_toolbox_is_refused_by_validate() {
    let world = chain();
    world.write(
        "kickstart/server.ks",
        "poweroff\n%post\n{{ imgforge_sentinel }}\n%end\n",
    );
    let install = "install:\n  virt-install:\n    os: fedora42\n    media: {location: /srv/tree}\n    answers: kickstart/server.ks\n";
    world.image(
        "rpm",
        &format!("{install}configure: [{{ansible: {{playbook: ansible/site.yml}}}}]\n"),
    );
    // Above a base without a playbook of its own, too.
    world.image("plain", install);
    world.image("between", "from: plain\n");
    let above = "from: between\nconfigure: [{ansible: {playbook: ansible/site.yml}}]\n";
    world.image("above", above);
    for file in ["recipes/rpm.yaml", "recipes/above.yaml"] {
        let output = world.run(&["validate", file]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("Ansible cannot be brought to fedora42"),
            "{stderr}"
        );
    }
}
