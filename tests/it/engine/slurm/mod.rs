//! `build --on slurm`, with the real Slurm.

mod apart;
mod cluster;
mod scale;

use std::process::Stdio;

use cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::wait_for;
use crate::support::{Run as _, names};

const BUILD: [&str; 6] = ["build", "small", "--until", "install", "--on", "slurm"];

/// A `qemu-img` that works.
const REAL: &str = "exec /usr/bin/qemu-img \"$@\"";

/// Jobs that convert nothing before the test writes into their gate.
fn gated() -> Cluster {
    let read = "case $1 in convert) read -r go <\"${0%/*}/../gate\";; esac";
    let cluster = Cluster::start(&format!("{read}\n{REAL}"));
    let gate = cluster.world.path("gate");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    cluster
}

#[test]
#[ignore = "root: src/engine"]
fn a_failing_base_takes_its_children_along_and_the_others_are_built() {
    let cluster = Cluster::start(REAL);
    let world = &cluster.world;
    world.image("bad", "install: {import: {image: files/broken.qcow2}}\n");
    world.write("files/broken.qcow2", "QFI\u{fb} but nothing more");
    world.image("child", "from: bad\nconfigure: [{shell: {run: 'true'}}]\n");
    world.image(
        "grandchild",
        "from: child\nconfigure: [{shell: {run: 'true'}}]\n",
    );
    world.image("wrong", "install: {}\n");
    let build = [
        "build", "--all", "--until", "install", "--on", "slurm", "-j", "2",
    ];
    let said = cluster.command(&build).said().exits(1);
    let said = said.says(&[
        "slurm has 4 jobs",
        "==> small install: done",
        "bad/install.log",
        "4 of 5 images failed",
        "child (it builds on bad)",
        "grandchild (it builds on child)",
    ]);
    said.prints(&["small  install"]);
    assert_eq!(
        names(&world.path("state/jobs")),
        [""; 0],
        "nothing is left of it"
    );
    let jobs = cluster.said(&["squeue", "--noheader", "--states=all", "--format=%T"]);
    let cancelled = jobs.lines().filter(|state| *state == "CANCELLED").count();
    assert_eq!(cancelled, 2, "{jobs}");

    // A second build has nothing to submit.
    let again = cluster.command(&BUILD).said().ok();
    again.says(&["small install: cached"]);
}

#[test]
#[ignore = "root: src/engine"]
fn a_job_whose_node_fails_begins_again_on_another_one() {
    let cluster = gated();
    let mut build = cluster.command(&BUILD);
    let build = build
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the job", || {
        cluster.begun().len() == 1 && has_draft(&cluster)
    });
    let (node, imgforge) = cluster.begun().remove(0);
    cluster.fail(&node, imgforge);
    wait_for("the job on the other node", || cluster.begun().len() == 2);
    assert_ne!(cluster.begun()[1].0, node);
    std::fs::write(cluster.world.path("gate"), "go\n").unwrap();
    let ended = build.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(
        said.contains("begins anew") && said.contains("cleared after an earlier run"),
        "{said}"
    );
    let stored = cluster.world.stored();
    assert!(stored.len() == 1 && stored[0].len() == 64, "{stored:?}");
    assert_eq!(names(&cluster.world.path("state/ledger")), [""; 0]);
}

#[test]
#[ignore = "root: src/engine"]
fn ctrl_c_cancels_and_scancel_is_told() {
    let cluster = gated();
    let mut build = cluster
        .command(&BUILD)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the job", || has_draft(&cluster));
    kill_process(Pid::from_child(&build), Signal::INT).unwrap();
    assert_eq!(build.wait().unwrap().code(), Some(130));
    let jobs = cluster.said(&["squeue", "--noheader", "--states=all", "--format=%T"]);
    assert_eq!(jobs, "CANCELLED\n");
    assert_eq!(
        cluster.world.stored(),
        [""; 0],
        "the job has cleared up itself"
    );
    assert_eq!(names(&cluster.world.path("state/jobs")), [""; 0]);

    let build = cluster
        .command(&BUILD)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the second job", || has_draft(&cluster));
    cluster.said(&["scancel", "--user=root"]);
    let ended = build.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("of small was cancelled"), "{said}");
}

#[test]
#[ignore = "root: src/engine"]
fn who_leaves_comes_back_to_his_jobs() {
    let cluster = gated();
    let detached = [&BUILD[..], &["--detach"]].concat();
    let id = cluster.command(&detached).said().ok().out;
    let id = id.trim_end();
    wait_for("the job", || has_draft(&cluster));
    let listed = cluster.command(&["jobs"]).said().ok();
    listed.prints(&[id, "small", "runs"]);
    let follow = |args: &[&str]| cluster.command(&[&["jobs", id], args].concat());
    // Who only looks and goes leaves the jobs as they are.
    let seen = std::fs::File::create(cluster.world.path("seen")).unwrap();
    let mut looks = follow(&[]).stderr(seen).spawn().unwrap();
    wait_for("what the job has said", || {
        cluster.world.read("seen").contains("install: started")
    });
    kill_process(Pid::from_child(&looks), Signal::INT).unwrap();
    assert_eq!(looks.wait().unwrap().code(), Some(130));
    std::fs::write(cluster.world.path("gate"), "go\n").unwrap();
    let said = follow(&[]).said().ok();
    said.says(&["small install: done"])
        .prints(&["small  install"]);
    follow(&[]).said().exits(2).says(&["no build"]);
}

#[test]
#[ignore = "root: src/engine"]
fn a_gate_that_no_node_can_take_is_told_and_nothing_stays() {
    let cluster = Cluster::start(REAL);
    let world = &cluster.world;
    let configured = world.read("imgforge.yaml");
    let configured = configured.replace("slurm: {", "slurm: {gate-constraint: kvm, ");
    world.write("imgforge.yaml", configured);
    // No node has the feature: Slurm refuses the gate, and nothing stays.
    let all = ["build", "small", "--on", "slurm"];
    cluster.command(&all).said().exits(1).says(&[
        "the job of small gate was not taken",
        "Invalid feature specification",
    ]);
    assert_eq!(names(&world.path("state/jobs")), [""; 0]);
    let jobs = cluster.said(&["squeue", "--noheader", "--states=all", "--format=%T"]);
    assert_eq!(jobs, "CANCELLED\n");
    // The doctor comes to a node; the site's may lack something.
    let doctor = cluster.command(&["doctor", "--on", "slurm"]).said();
    assert!(matches!(doctor.code, Some(0 | 3)), "{}", doctor.evidence());
    doctor.prints(&["slurm:\n", "qemu-img", "state directory"]);
    // Up to the seal there is no such job.
    cluster
        .command(&BUILD)
        .said()
        .ok()
        .says(&["slurm has 1 jobs"]);
}

#[test]
#[ignore = "root: src/engine"]
fn an_older_result_is_no_answer_to_from_and_a_long_wait_is_told() {
    let cluster = Cluster::start(REAL);
    let world = &cluster.world;
    cluster.command(&BUILD).said().ok();
    let configured = world.read("imgforge.yaml");
    // The job does not even begin to build.
    let nowhere = configured.replace("/on-node", "/nowhere");
    world.write("imgforge.yaml", nowhere);
    let anew = [&BUILD[..], &["--from", "install"]].concat();
    let said = cluster.command(&anew).said().exits(1);
    said.says(&["of small failed"]);
    // Whose parents fail, fails as they do.
    world.image("above", "from: small\n");
    let above = ["build", "above", "--until", "seal", "--on", "slurm"];
    let said = cluster.command(&above).said().exits(1);
    said.says(&["of small failed", "nowhere: not found"]);
    // Slurm takes what no node will ever run, and a build that cannot be cancelled stays known.
    let never = configured.replace("slurm: {", "time: 90m, slurm: {partition: short, ");
    world.write("imgforge.yaml", never);
    let id = cluster
        .command(&[&anew[..], &["--detach"]].concat())
        .said()
        .ok()
        .out;
    let id = id.trim_end();
    let waits = std::fs::File::create(world.path("waits")).unwrap();
    let mut waiting = cluster
        .command(&["jobs", id])
        .stderr(waits)
        .spawn()
        .unwrap();
    wait_for("why the job waits", || {
        world
            .read("waits")
            .contains("of small waits: PartitionTimeLimit")
    });
    kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(130));
    let cancel = ["jobs", id, "--cancel"];
    let dir = world.path("silent");
    std::fs::create_dir(&dir).unwrap();
    imgforge::host::exec::write_program(&dir.join("scancel"), "#!/bin/sh\nexit 1\n").unwrap();
    let mut silent = cluster.command(&cancel);
    let path = silent.get_envs().find(|(name, _)| *name == "PATH");
    let path = path.and_then(|(_, path)| path?.to_str()).unwrap();
    let path = format!("{}:{path}", dir.display());
    let said = silent.env("PATH", path).said().exits(1);
    said.says(&["were not cancelled", "tries again"]);
    cluster.command(&cancel).said().ok();
    assert_eq!(names(&world.path("state/jobs")), [""; 0]);
}

fn has_draft(cluster: &Cluster) -> bool {
    let stored = cluster.world.stored();
    stored.iter().any(|name| name.starts_with(".draft-"))
}
