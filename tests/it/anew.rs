//! One key, one set of bytes, for ever: what `--from`, a failure, an eviction and a changed layer do
//! to the store, through the real binary.

mod entries;
mod meanwhile;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use imgforge::digest::file_blake3;
use imgforge::host::exec::Program;
use serde_json::{Value, json};

use entries::{chain, digest, disk, key, planned, plant, sealed};

use crate::phony::Phony;
use crate::pipeline::fake;
use crate::support::{Run as _, World, stages_to};

const INSTALL: [&str; 4] = ["build", "small", "--until", "install"];

/// A base that imports a disk, and an image on it.
fn family() -> World {
    let world = World::importing();
    world.image(
        "child",
        "from: small\nconfigure: [{shell: {run: 'true'}}]\n",
    );
    world
}

/// Everything up to the gate's proof, with real disks.
fn proven(world: &World) -> [String; 3] {
    world.ok(&INSTALL);
    let install = key(world, "small", "install");
    let seal = plant(world, "small", "seal", Some(&install), &sealed());
    let facts = json!({
        "sealed": chain(world, &seal), "passed": true, "note": "",
        "gate": {"passed": true, "problems": [], "clones": [],
                 "scan": {"refused": [], "accepted": [], "files": 0, "bytes": 0, "took": 0}},
    });
    let check = plant(world, "small", "check", None, &facts);
    [install, seal, check]
}

#[test]
fn what_is_made_again_has_another_key_and_so_has_all_that_is_on_it() {
    let world = family();
    let [before, seal, _] = proven(&world);
    let bytes = digest(&world, &before);
    let child = key(&world, "child", "configure");
    let again = ["build", "small", "--from", "install", "--until", "install"];
    let said = world.ok(&again).err;
    assert!(!said.contains("cached"), "{said}");
    let after = key(&world, "small", "install");
    assert_ne!(after, before);
    assert_eq!(
        digest(&world, &before),
        bytes,
        "the old layer stays as it is"
    );
    assert_ne!(key(&world, "small", "seal"), seal);
    assert_ne!(key(&world, "child", "configure"), child);
    // It is what the next build goes on with.
    let mut next = world.command(&INSTALL);
    next.env("PATH", "/nonexistent").said().ok();
    assert_eq!(planned(&world, "small", "small", "install")["cached"], true);
    // Once more is another one again.
    world.ok(&again);
    assert_ne!(key(&world, "small", "install"), after);
}

/// The results that were on the old installation are of no use for the new one.
#[test]
fn a_forced_build_that_fails_goes_on_with_what_it_made() {
    let world = family();
    proven(&world);
    world.ok(&["build", "small", "--from", "install", "--until", "install"]);
    for (label, cached) in [("install", true), ("seal", false), ("check", false)] {
        let planned = planned(&world, "small", "small", label);
        assert_eq!(planned["cached"], cached, "{label}");
    }
}

#[test]
fn a_forced_stage_that_fails_is_what_the_printed_command_makes() {
    let world = family();
    let [before, ..] = proven(&world);
    let path = fake(&world, "exit 3");
    let mut failing = world.command(&["build", "small", "--from", "install"]);
    let failed = failing.env("PATH", path).said().exits(1);
    failed.says(&[" build small` goes on"]);
    assert_eq!(
        planned(&world, "small", "small", "install")["cached"],
        false
    );
    world.ok(&INSTALL);
    assert_ne!(key(&world, "small", "install"), before);
    // Only the stage that was asked for and what depends on it.
    let install = key(&world, "small", "install");
    plant(&world, "small", "seal", Some(&install), &sealed());
    let seal = key(&world, "small", "seal");
    let planned = world.planned(&["small", "--from", "check"]);
    assert_eq!(planned[1]["key"], seal.as_str());
}

#[test]
fn a_forced_build_that_is_refused_loses_nothing() {
    let world = family();
    let [before, ..] = proven(&world);
    let args = ["build", "small", "--from", "install", "--offline"];
    world.run(&args).exits(3);
    assert_eq!(key(&world, "small", "install"), before);
    assert_eq!(planned(&world, "small", "small", "check")["cached"], true);
}

#[test]
fn a_result_that_was_evicted_comes_back_under_another_key() {
    let world = family();
    world.ok(&INSTALL);
    let before = key(&world, "small", "install");
    world.ok(&["gc", "--free", "1GiB"]);
    let planned = planned(&world, "small", "small", "install");
    assert_eq!(planned["why"][0], "its result is not in the store any more");
    world.ok(&INSTALL);
    let after = key(&world, "small", "install");
    assert_ne!(after, before);
    assert_eq!(world.stored(), [after]);
}

fn flip_last_byte(path: &Path) {
    let size = std::fs::metadata(path).unwrap().len();
    let file = std::fs::File::options().read(true).write(true).open(path);
    let (file, mut byte) = (file.unwrap(), [0]);
    file.read_exact_at(&mut byte, size - 1).unwrap();
    file.write_all_at(&[!byte[0]], size - 1).unwrap();
}

/// A byte of the layer below changes; the layer itself does not.
#[test]
fn a_changed_layer_below_the_sealed_disk_ends_gate_and_pack() {
    let world = family();
    let [install, seal, check] = proven(&world);
    let own = digest(&world, &seal);
    let other = disk(&world, &install);
    flip_last_byte(&other);
    assert_eq!(digest(&world, &seal), own);
    let refused = |stage: &str| {
        world
            .run(&["build", "small", "--until", stage])
            .exits(4)
            .says(&[
                &format!("the {stage} stage of small failed"),
                "the disk of the install stage of small changed after it was made",
                "--from install",
                &world.goes_on(&format!("build small --until {stage}")),
            ]);
    };
    refused("pack");
    // Nor is anything made for a target.
    let recipe = world.read("recipes/small.yaml");
    let targets = format!("{recipe}targets: {{raw: {{}}}}\n");
    world.write("recipes/small.yaml", targets);
    let refused_too = world.run(&["build", "small", "--until", "finish"]).exits(4);
    refused_too.says(&["the disk of the install stage of small changed after it was made"]);
    world.write("recipes/small.yaml", &recipe);
    let entry = world.path(&format!("state/store/{check}"));
    let aside = world.path("check");
    std::fs::rename(&entry, &aside).unwrap();
    refused("check");

    // As it was: the command that was printed goes on, and nothing before is done again.
    std::fs::rename(&aside, &entry).unwrap();
    flip_last_byte(&other);
    let said = world.ok(&["build", "small"]).err;
    // It has no step.
    let before = stages_to("check").len() - 1;
    assert_eq!(said.matches("cached").count(), before, "{said}");
    assert!(planned(&world, "small", "small", "pack")["cached"] == true);
}

#[test]
fn a_proof_of_another_disk_is_none() {
    let world = family();
    let [_, _, check] = proven(&world);
    let path = world.path(&format!("state/store/{check}/meta.json"));
    let mut meta: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    meta["facts"]["sealed"] = json!("another");
    std::fs::write(&path, meta.to_string()).unwrap();
    let refused = world.run(&["build", "small", "--until", "check"]).exits(4);
    refused.says(&["`imgforge build small --from check` makes it again"]);
}

/// What was declared is never forgotten: a result that says it in other words is made again, under
/// another key, and the user hears of it.
#[test]
fn a_result_whose_facts_have_another_shape_is_made_again_and_told() {
    let world = family();
    let [install, seal, _] = proven(&world);
    let rename = |key: &str| {
        let path = world.path(&format!("state/store/{key}/meta.json"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"declared\""), "{text}");
        std::fs::write(&path, text.replace("\"declared\"", "\"keeps\"")).unwrap();
        text.replace("\"declared\"", "\"keeps\"")
    };
    rename(&seal);
    let now = planned(&world, "small", "small", "seal");
    let why = now["why"][0].as_str().unwrap();
    assert!(
        why.starts_with("its result in the store cannot be read: unknown field `keeps`"),
        "{why}"
    );
    assert!(
        now["cached"] == false && now["key"] != seal.as_str(),
        "{now}"
    );
    assert_eq!(planned(&world, "small", "small", "install")["cached"], true);

    let before = rename(&install);
    let said = world.ok(&INSTALL);
    let told = "the install stage of small is made again: what the store has of it cannot be read: \
                unknown field `keeps`";
    said.says(&[told]);
    let after = key(&world, "small", "install");
    assert_ne!(after, install);
    let old = std::fs::read_to_string(world.path(&format!("state/store/{install}/meta.json")));
    assert_eq!(old.unwrap(), before, "a key keeps its bytes");
    // Once: it is what later builds go on with.
    let said = world.ok(&INSTALL).err;
    assert!(
        said.contains("cached") && !said.contains("made again"),
        "{said}"
    );
    // Where nothing may be made, nothing is taken for nothing.
    world.configure("repositories: {main: {path: repo}}\n");
    world.run(&["publish", "small"]).exits(2);
}

/// What an imgforge before digests of chains could leave: the base was made again under its key.
#[test]
fn a_layer_whose_base_was_replaced_is_no_result() {
    let world = family();
    let [install, ..] = proven(&world);
    let path = world.path(&format!("state/store/{install}/meta.json"));
    let mut meta: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    meta["disk"] = json!({"file": "other", "chain": "other"});
    std::fs::write(&path, meta.to_string()).unwrap();
    assert_eq!(planned(&world, "small", "small", "seal")["cached"], false);
    world.configure("repositories: {main: {path: repo}}\n");
    let refused = world.run(&["publish", "small"]).exits(2);
    refused.says(&["no finished build"]);
}

/// Real layers: a child keeps what is below it, and is built again when its base was. The gate refuses
/// a leftover, and what it prints goes on at the gate.
#[test]
#[ignore = "vm: src/store src/pipeline src/stage/seal.rs src/stage/check"]
fn a_base_that_is_made_again_and_a_gate_that_refuses() {
    let world = family().for_guests();
    Phony::debian()
        .file("etc/app.conf", "password = hunter22x\n")
        .file("etc/db.conf", "password = hunter33y\n")
        .file("usr/bin/tar", "")
        .file("usr/lib/systemd/systemd", "")
        .disk(&world.path("files"), "disk.raw");
    // A raw disk without partitions is taken for none.
    let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]);
    let (raw, image) = ("files/disk.raw", "files/disk.qcow2");
    convert
        .args([raw, image])
        .dir(world.path(""))
        .run()
        .unwrap();
    let allow = "{rule: secret-assignment, path: /etc/db.conf, reason: it is a joke}";
    let install = format!("install: {{import: {{image: {image}}}}}");
    world.image(
        "small",
        &format!("{install}\ncheck: {{allow: [{allow}]}}\n"),
    );
    world.image("child", "from: small\n");
    let content = |key: &str| {
        let raw = world.path("flat.raw");
        let convert = Program::new("qemu-img").args(["convert", "-f", "qcow2", "-O", "raw"]);
        convert.arg(disk(&world, key)).arg(&raw).run().unwrap();
        file_blake3(&raw).unwrap()
    };
    world.ok(&["build", "child", "--until", "seal"]);
    let child = key(&world, "child", "seal");
    let before = content(&child);
    world.ok(&["build", "small", "--from", "install", "--until", "seal"]);
    assert_eq!(content(&child), before);
    let planned = planned(&world, "child", "child", "seal");
    let why = "the configured disk changed: small has a new one";
    assert_eq!(
        (&planned["cached"], &planned["why"][0]),
        (&json!(false), &json!(why))
    );
    world.ok(&["build", "child", "--until", "seal"]);
    assert_ne!(key(&world, "child", "seal"), child);
    assert_eq!(content(&child), before);

    // And the command that it prints.
    for args in [
        &["build", "small", "--until", "check"][..],
        &["build", "small"],
    ] {
        let refused = world.run(args).exits(4).says(&[
            "secret-assignment: /etc/app.conf",
            "small seal: cached",
            &world.goes_on(&args.join(" ")),
        ]);
        let stderr = &refused.err;
        assert!(!stderr.contains("small check: cached"), "{stderr}");
    }
    let report = std::fs::read(world.path("state/logs/small/gate.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let accepted = &report["scan"]["accepted"];
    assert_eq!(accepted[0]["reason"], "it is a joke", "{accepted}");
    assert!(!world.stored().iter().any(|name| name.starts_with('.')));
}

/// A verdict is one about what the gate's commands and the scan were told.
#[test]
fn what_the_gate_is_told_is_in_the_keys_of_its_verdicts() {
    let world = World::importing();
    let told = |vars: &str, mirrors: &str| {
        world.image(
            "small",
            &format!(
                "install: {{import: {{image: files/disk.raw}}}}\nmachine: {{disk: 1GiB}}\n\
             vars: {{{vars}}}\ncheck: {{commands: ['test \"$IMGFORGE_VAR_ROLE\" = web']}}\n\
             targets: {{docker: {{}}, vagrant: {{}}}}\n"
            ),
        );
        world.configure(&format!("mirrors: {{{mirrors}}}\n"));
        ["seal", "check", "finish-vagrant", "finish-docker"]
            .map(|label| key(&world, "small", label))
    };
    let before = told("role: web", "");
    // Docker's machines are not booted, and what is scanned has no variables.
    for (vars, mirrors, same) in [
        ("role: db", "", [true, false, false, true]),
        (
            "role: web",
            "debian: ['http://mirror.example/debian']",
            [true, false, false, false],
        ),
    ] {
        let after = told(vars, mirrors);
        let equal: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a == b).collect();
        assert_eq!(equal, same, "{vars} {mirrors}");
    }
    assert_eq!(told("role: web", ""), before);
    // Keys are made without any program of this host.
    let plan = || world.command(&["plan", "small", "--json"]);
    let with = plan().said().ok();
    let without = plan().env("PATH", "/nonexistent").said();
    assert_eq!(with.out, without.out);
}
