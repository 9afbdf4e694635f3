//! `plan --pipeline gitlab`, judged and run by gitlab-ci-local.

use std::path::Path;

use crate::support::{IMGFORGE, Run as _, Said, World, external, tool, toy};

/// Writes the pipeline of these images and runs it.
fn run(world: &World, images: &[&str]) -> Said {
    let plan = [
        &["plan"],
        images,
        &["--until", "install", "--pipeline", "gitlab"],
    ]
    .concat();
    world.write(".gitlab-ci.yml", world.ok(&plan).out);
    world.write(".gitignore", "state\n.gitlab-ci-local\n");
    let dir = world.dir.path();
    let git = |args: &[&str]| tool("git", &[&["-C", dir.to_str().unwrap()], args].concat());
    git(&["init", "--quiet"]);
    git(&["add", "-A"]);
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    git(&[&identity[..], &["commit", "-qm", "all"]].concat());
    let program = Path::new(IMGFORGE).parent().unwrap().display();
    let runner = toy::target().join("gitlab-ci-local/node_modules/.bin/gitlab-ci-local");
    let mut run = external(runner.to_str().unwrap());
    run.current_dir(dir).arg("--force-shell-executor");
    let path = std::env::var("PATH").unwrap();
    run.env("PATH", format!("{program}:{path}"))
        .env("HOME", dir);
    run.env("IMGFORGE_ACCEL", "tcg").said()
}

#[test]
#[ignore = "e2e: src/engine"]
fn a_runner_of_the_pipeline_builds_every_image() {
    let world = World::importing();
    world.image(
        "twin",
        "install: {import: {image: files/disk.raw}}\nmachine: {disk: 2GiB}\n",
    );
    let said = run(&world, &["small", "twin"]).ok();
    assert!(
        said.all().contains("json schema validated"),
        "{}",
        said.evidence()
    );
    let left = [
        "plan",
        "--all",
        "--until",
        "install",
        "--pipeline",
        "gitlab",
    ];
    world.ok(&left).prints(&["nothing to build"]);
    let log = "artifacts/buildIAtwin/imgforge-logs/twin/install.log";
    assert!(
        world.path(".gitlab-ci-local").join(log).exists(),
        "logs are artifacts"
    );

    world.image("bad", "install: {import: {image: files/broken.qcow2}}\n");
    world.write("files/broken.qcow2", "QFI\u{fb} but nothing more");
    world.image("child", "from: bad\n");
    let said = run(&world, &["bad", "child"]).exits(1).all();
    assert!(
        said.contains(" build bad ") && !said.contains(" build child "),
        "{said}"
    );
}
