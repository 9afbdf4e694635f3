//! Images that build on images, and several builds at once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::World;
use crate::support::world::IMPORT;

/// A recipe repository with a disk that images import.
fn world() -> World {
    let world = World::new();
    world.disk_file("files/disk.raw");
    world
}

/// `IMAGE STAGE` and key of every stage of every image.
fn keys(world: &World) -> BTreeMap<String, String> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let stage = |stage: &Value| {
        let name = format!("{} {}", word(&stage["image"]), word(&stage["label"]));
        (name, word(&stage["key"]))
    };
    world.planned(&["--all"]).iter().map(stage).collect()
}

fn chain() -> World {
    let world = world();
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
    let before = keys(world);
    change(world);
    let after = keys(world);
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
    let drawn = world.ok(&["plan", "--all"]).out;
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
    let world = world();
    world.image("bad", "install: {import: {image: files/broken.qcow2}}\n");
    world.image("child", "from: bad\nconfigure: [{shell: {run: 'true'}}]\n");
    world.image("good", IMPORT);
    world.image(
        "twin",
        "install: {import: {image: files/disk.raw}}\nmachine: {disk: 2GiB}\n",
    );
    world.write("files/broken.qcow2", "QFI\u{fb} but nothing more");
    let failed = world
        .run(&["build", "--all", "--until", "install"])
        .exits(1);
    failed.says(&["2 of 4 images failed", "child (it builds on bad)"]);
    let disks = |name: &str| {
        let of = |entry: &String| {
            let meta = world.path(&format!("state/store/{entry}/meta.json"));
            let meta = std::fs::read_to_string(meta).unwrap_or_default();
            meta.contains(&format!("\"image\": \"{name}\""))
        };
        world.stored().iter().filter(|entry| of(entry)).count()
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
    world
        .run(&["validate", "recipes/wrong.yaml"])
        .exits(2)
        .says(&[
            "`ansible` cannot run in `instance`",
            "`cloud-init` cannot run in `instance`",
            "Puppet's agent cannot run in `instance`",
            "`Node` is not a valid name for a certificate",
            "`puppet.example:x` is not a valid name of a server",
            "a step of `instance` has no secrets",
        ]);
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
        let refused = world.run(&["validate", file]).exits(2);
        refused.says(&["Ansible cannot be brought to fedora42"]);
    }
}
