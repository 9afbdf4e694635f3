//! `plan --pipeline gitlab`, judged and run by gitlab-ci-local.

use crate::support::{IMGFORGE, Run as _, World, external, phony::Phony, tool, toy};

#[test]
#[ignore = "e2e: src/engine"]
fn a_runner_of_the_pipeline_builds_every_image() {
    let world = World::with_guests("gitlab");
    Phony::debian().disk(world.dir.path(), "disk.raw");
    world.image(
        "base",
        "install: {import: {image: disk.raw}}\nmachine: {disk: 1GiB}\n",
    );
    world.image("child", "from: base\n");
    world.image("other", "install: {import: {image: none.raw}}\n");
    let plan = [
        "plan",
        "base",
        "child",
        "--until",
        "seal",
        "--pipeline",
        "gitlab",
    ];
    world.write(".gitlab-ci.yml", world.ok(&plan).out);
    world.write(".gitignore", "state\n.gitlab-ci-local\n");
    let dir = world.dir.path().to_str().unwrap();
    tool("git", &["-C", dir, "init", "--quiet"]);
    tool("git", &["-C", dir, "add", "-A"]);
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    tool(
        "git",
        &[&["-C", dir], &identity[..], &["commit", "-qm", "all"]].concat(),
    );
    let program = std::path::Path::new(IMGFORGE).parent().unwrap().display();
    let runner = toy::target().join("gitlab-ci-local/node_modules/.bin/gitlab-ci-local");
    let mut run = external(runner.to_str().unwrap());
    run.args(["--cwd", dir, "--home", dir, "--force-shell-executor"]);
    let path = std::env::var("PATH").unwrap();
    run.env("PATH", format!("{program}:{path}"));
    run.env("IMGFORGE_ACCEL", "tcg");
    run.said().ok();
    let left = [
        "plan",
        "base",
        "child",
        "--until",
        "seal",
        "--pipeline",
        "gitlab",
    ];
    world.ok(&left).prints(&["nothing to build"]);
    let log = world.path("imgforge-logs/child/seal.log");
    assert!(log.exists(), "the logs are artifacts");
}
