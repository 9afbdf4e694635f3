//! Nodes that have nothing in common but a registry, with guests of a few files.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;

use imgforge::store::DISK;
use rustix::process::{Signal, kill_process};

use super::cluster::{Cluster, FEATURE};
use crate::gate;
use crate::patience::wait_for;
use crate::slots;
use crate::support::registry::{Kind, Service};
use crate::support::{IMGFORGE, Run as _, World, names, tool};

/// A guest has run, and what is built upon is sealed.
const BUILD: [&str; 6] = ["build", "--all", "--until", "configure", "--on", "slurm"];

/// Three bases and what builds on them.
const CHILDREN: [(&str, &str); 7] = [
    ("a1", "a"),
    ("a2", "a"),
    ("b1", "b"),
    ("b2", "b"),
    ("b3", "b"),
    ("c1", "c"),
    ("c2", "c1"),
];

fn world() -> World {
    let world = gate::world("bios");
    gate::small::disk(&world, "a", &gate::small::guest());
    let import = format!(
        "install: {{import: {{image: {}}}}}\n",
        path(&world, "a.raw")
    );
    let base = |name: &str, run: &str| {
        let shell = format!("configure: [{{shell: {{run: 'echo {name} >/etc/base; {run}'}}}}]\n");
        world.image(name, &format!("{import}{shell}"));
    };
    base("a", "true");
    base("b", "true");
    base("c", "exit 3");
    for (name, from) in CHILDREN {
        let run = format!("configure: [{{shell: {{run: 'echo {name} >>/etc/base'}}}}]\n");
        world.image(name, &format!("from: {from}\n{run}"));
    }
    world
}

fn path(world: &World, name: &str) -> String {
    world.path(name).to_str().unwrap().to_owned()
}

/// What ran on the nodes has ended there.
fn guests(world: &World) -> Vec<String> {
    let all = world.left_over().into_iter();
    all.filter(|line| line.contains("qemu-system")).collect()
}

fn entries(state: &Path) -> usize {
    let stored = names(&state.join("store")).into_iter();
    stored.filter(|name| name.len() == 64).count()
}

/// A base fails and takes its children along, a node fails in the middle of a guest, a job is cancelled in
/// one: all the rest is complete, and no guest is left.
#[test]
#[ignore = "e2e: src/engine src/store/remote src/store/epoch.rs"]
fn nodes_that_share_a_registry_build_a_graph() {
    slots::take(2);
    let world = world();
    let service = Service::start(&world.path("registry"), Kind::default());
    world.write("signers.gpg", world.signer().public_key().unwrap());
    let dir = world.dir.path().display().to_string();
    // Each node has its own disk, and on it what a site's administrator puts there.
    let program = format!(
        "state={dir}/$SLURMD_NODENAME\nmkdir -p $state\nfor word; do shift\n\
         [ \"$word\" != /node ] || word=$state\nset -- \"$@\" \"$word\"\ndone\nexec {IMGFORGE} \"$@\""
    );
    world.configure(&format!(
        "repositories: {{main: {{path: repo}}}}\n\
         store: {{remote: '{}', push: true, allowed-signers: signers.gpg}}\n\
         engine: {{slurm: {{program: {dir}/on-node, state: /node}}}}\n",
        service.oci("imgforge")
    ));
    let cluster = Cluster::on_this_host(world, &program);
    let world = &cluster.world;

    let two = [&BUILD[..], &["-j", "2"]].concat();
    let log = std::fs::File::create(world.path("first")).unwrap();
    let mut first = cluster.command(&two);
    let mut first = first.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    wait_for("a guest of a job", || !guests(world).is_empty());
    let (node, imgforge) = cluster.begun().remove(0);
    let node = if node == "n1" { "n1" } else { "n2" };
    cluster.fail(node, imgforge);
    wait_for("a job on the other node", || {
        cluster.begun().iter().any(|(other, _)| other != node)
    });
    cluster.repair(node);
    assert_eq!(first.wait().unwrap().code(), Some(1));
    let said = world.read("first");
    for expected in [
        "begins anew",
        "a is in the shared store",
        "b3 is in the shared store",
        "3 of 10 images failed",
        "c1 (it builds on c)",
        "c2 (it builds on c1)",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert_eq!(
        entries(&world.path("state")),
        0,
        "the caller has fetched disks"
    );
    assert!(
        world.path("state/logs/c").is_dir(),
        "the logs are not the caller's"
    );

    // Mended, and cancelled in a guest.
    let text = world.read("recipes/c.yaml").replace("exit 3", "true");
    world.write("recipes/c.yaml", text);
    let before = cluster.begun().len();
    let mut second = cluster.command(&two);
    let mut second = second
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("its only job's guest", || {
        cluster.begun().len() > before && !guests(world).is_empty()
    });
    let (_, imgforge) = cluster.begun().pop().unwrap();
    // As Slurm does after KillWait, whatever the program is at.
    kill_process(imgforge, Signal::KILL).unwrap();
    cluster.said(&["scancel", "--user=root"]);
    assert_eq!(second.wait().unwrap().code(), Some(1));

    let said = cluster.command(&two).said().ok();
    said.says(&["c is in the shared store", "c2 is in the shared store"]);
    assert_eq!(guests(world), [""; 0]);
    for node in ["n1", "n2"] {
        assert_eq!(names(&world.path(node).join("ledger")), [""; 0]);
    }

    // Who has nothing gets the end of the longest chain from the registry, and nothing runs.
    DirBuilder::new()
        .mode(0o700)
        .create(world.path("empty"))
        .unwrap();
    let [from, to] = ["state/gnupg", "empty"].map(|name| path(world, name));
    tool("cp", &["-a", &from, &to]);
    let empty = path(world, "empty");
    let build = ["--state", &empty, "build", "c2", "--until", "configure"];
    let events = world.showing("json", &build).said().ok().events();
    assert!(
        !events.iter().any(|event| event["event"] == "started"),
        "{events:?}"
    );
    assert!(memchr::memmem::find(&raw(world, "c2"), b"c\nc1\nc2\n").is_some());
}

/// What seals runs anywhere, and the clones boot on a node that has the feature, in a job after it.
#[test]
#[ignore = "e2e: src/engine src/stage/check"]
fn a_gate_runs_as_a_job_of_its_own_where_the_feature_is() {
    slots::take(2);
    let world = gate::world("bios");
    gate::small::disk(&world, "small", &gate::small::guest());
    let dir = world.dir.path().display().to_string();
    world.configure(&format!(
        "engine: {{slurm: {{program: {dir}/on-node, gate-constraint: {FEATURE}}}}}\n"
    ));
    let cluster = Cluster::on_this_host(world, &format!("exec {IMGFORGE} \"$@\""));
    let build = ["build", "small", "--until", "check", "--on", "slurm"];
    let said = cluster.command(&build).said().ok();
    said.says(&["slurm has 2 jobs", "small check: done"]);
    let begun = cluster.begun();
    assert_eq!(begun.len(), 2, "{begun:?}");
    assert_eq!(begun[1].0, "n2", "{begun:?}");
    let world = &cluster.world;
    assert_eq!(guests(world), [""; 0]);
    let clones = names(&world.path("state/logs/small"));
    assert!(clones.iter().any(|log| log.contains("check")), "{clones:?}");
    world
        .ok(&["build", "small", "--until", "check"])
        .says(&["small check: cached"]);
}

/// The configured disk of an image in the empty host's store.
fn raw(world: &World, image: &str) -> Vec<u8> {
    let store = world.path("empty/store");
    let mut all = names(&store).into_iter().filter(|name| name.len() == 64);
    let entry = all.find(|key| {
        let meta = std::fs::read(store.join(key).join("meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
        meta["image"] == image && meta["stage"] == "configure"
    });
    let disk = store.join(entry.unwrap()).join(DISK);
    let raw = world.path("whole.raw");
    tool(
        "qemu-img",
        &[
            "convert",
            "-O",
            "raw",
            disk.to_str().unwrap(),
            raw.to_str().unwrap(),
        ],
    );
    std::fs::read(raw).unwrap()
}
