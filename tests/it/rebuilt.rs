//! `imgforge verify --rebuild` by the real binary: an image that becomes the same again, one that somebody has
//! changed, and what is left where it is ended early.

use std::process::Stdio;

use imgforge::host::exec::Program;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::wait_for;
use crate::phony::Phony;
use crate::slots;
use crate::support::{World, names};

const LOCK: &str = "imgforge-lock: 1\nimage: toy\nclock: 2026-01-01T00:00:00Z\nstages:\n  - image: toy\n    \
                    stage: install\n    recipe: old\npackages:\n  - openssh-server 1:10.0p1-7 amd64\n# end\n";

const VERIFY: [&str; 3] = ["verify", "toy", "--rebuild"];

/// With the image `toy`, of a disk of few files, and its lock.
fn world() -> World {
    let world = World::with_guests("rebuilt");
    let phony = Phony::debian();
    phony.file("etc/motd", "hello\n");
    let dir = world.path("files");
    std::fs::create_dir_all(&dir).unwrap();
    let disk = dir.join("disk.raw");
    std::fs::File::create(&disk)
        .unwrap()
        .set_len(66 << 20)
        .unwrap();
    let table = Program::new("sfdisk").arg("-q").arg(&disk);
    table
        .input("label: gpt\nstart=2048, size=131072\n")
        .run()
        .unwrap();
    phony.in_first_partition(&disk);
    let body = "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n";
    world.image("toy", body);
    world.write("recipes/toy.lock", LOCK);
    world
}

/// Changes a file of the sealed disk in the store, as somebody who is not imgforge.
fn tamper(world: &World) {
    let disk = world.sealed_of("toy");
    let run = |program: Program| program.dir(world.dir.path()).run().unwrap();
    let convert = |words: &[&str]| Program::new("qemu-img").arg("convert").args(words);
    run(convert(&["-O", "raw"]).arg(&disk).arg("raw"));
    world.write("motd", "hullo\n");
    world.write(
        "lines",
        "rm /etc/motd\nwrite motd /etc/motd\nset_inode_field /etc/hostname mode 0100666\n",
    );
    run(Program::new("debugfs").args(["-w", "-f", "lines", "raw?offset=1048576"]));
    run(convert(&["-O", "qcow2", "raw"]).arg(&disk));
}

impl World {
    /// The sealed disk of an image that is not built by its lock, or is.
    fn sealed_of(&self, image: &str) -> std::path::PathBuf {
        let mut disks = self.stored().into_iter().filter_map(|key| {
            let dir = self.path("state/store").join(key);
            let meta = std::fs::read(dir.join("meta.json")).ok()?;
            let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
            let is_it = meta["stage"] == "seal" && meta["image"] == image;
            is_it.then(|| dir.join("disk.qcow2"))
        });
        disks.next().unwrap()
    }
}

/// What second builds leave.
fn scratch(world: &World) -> Vec<String> {
    let mut names = names(&world.path("state"));
    names.retain(|name| name.starts_with(".imgforge-"));
    names
}

#[test]
#[ignore = "vm: src/trees src/pipeline/rebuild.rs src/cli/verify.rs"]
fn an_image_becomes_the_same_again_and_a_file_that_somebody_changed_is_named() {
    slots::take(1);
    let world = world();
    world
        .run(&VERIFY)
        .exits(2)
        .says(&["no build of `toy`", "imgforge build toy --locked"]);
    world.ok(&["build", "toy", "--locked", "--until", "seal"]);
    let said = world.ok(&VERIFY);
    assert!(
        said.out.contains("are the same when it is built again"),
        "{}",
        said.out
    );
    assert_eq!(scratch(&world), Vec::<String>::new());
    tamper(&world);
    let said = world.run(&[&VERIFY[..], &["--keep", "again"]].concat());
    said.exits(4)
        .says(&["2 files of toy differ", "imgforge blame toy:/etc/hostname"]);
    let said = world.run(&[&VERIFY[..], &["--json", "--keep", "again"]].concat());
    said.exits(2).says(&["again is not empty"]);
    // One that has other packages than its lock is compared as well.
    world.replace("recipes/toy.lock", "10.0p1-7", "10.0p1-6");
    world
        .run(&["build", "toy", "--locked", "--until", "seal"])
        .exits(1)
        .says(&[
            "toy has 2 packages other than its lock",
            "+ openssh-server 1:10.0p1-7 amd64",
        ]);
    let said = world.run(&[&VERIFY[..], &["--json"]].concat());
    let said = said.exits(4);
    let told = said.json();
    let paths: Vec<&str> = told["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/etc/hostname", "/etc/motd"], "{told}");
    assert_eq!(
        told["differences"][0]["changes"][0]["what"], "mode",
        "{told}"
    );
    assert_eq!(
        told["differences"][1]["changes"][0]["what"], "content",
        "{told}"
    );
    assert_eq!(
        told["causes"][1], "install of toy, recipes/toy.yaml:2",
        "{told}"
    );
    // What was kept is a store as any other.
    let blame = ["--state", "again", "blame", "toy:/etc/motd"];
    world
        .ok(&blame)
        .prints(&["install of toy, recipes/toy.yaml:2"]);
    assert_eq!(scratch(&world), Vec::<String>::new());
}

#[test]
#[ignore = "vm: src/trees src/pipeline/rebuild.rs src/pipeline/clean.rs src/cli/verify.rs"]
fn a_second_build_that_is_ended_leaves_nothing() {
    slots::take(1);
    let world = world();
    world.ok(&["build", "toy", "--locked", "--until", "seal"]);
    let works = || {
        scratch(&world)
            .iter()
            .any(|name| world.path("state").join(name).join("store").is_dir())
    };
    let mut verify = world.command(&VERIFY);
    let mut verify = verify
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the second build", works);
    kill_process(Pid::from_child(&verify), Signal::INT).unwrap();
    assert_eq!(verify.wait().unwrap().code(), Some(130));
    assert_eq!(scratch(&world), Vec::<String>::new());
    world.kill_when(&VERIFY, works);
    assert_eq!(scratch(&world).len(), 1);
    world.ok(&["gc"]);
    assert_eq!(scratch(&world), Vec::<String>::new());
    assert_eq!(world.left_over(), Vec::<String>::new());
}
