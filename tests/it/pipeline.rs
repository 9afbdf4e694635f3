//! The pipeline through the real binary, with `import` as the quickest real stage.

use std::process::{Child, Stdio};

use imgforge::host::exec;

use crate::patience::wait_for;
use crate::support::world::IMPORT;
use crate::support::{Run as _, World, names, under};

/// A `qemu-img` that runs `script`, but when it is asked who it is, comes first on this `PATH`.
pub(crate) fn fake(world: &World, script: &str) -> String {
    let ask = format!("case $1 in --version) exec {} $1;; esac", real());
    world.script("qemu-img", &format!("{ask}\n{script}"))
}

pub(crate) fn real() -> String {
    exec::find("qemu-img").unwrap().display().to_string()
}

pub(crate) const BUILD: [&str; 4] = ["build", "small", "--until", "install"];

#[test]
fn a_second_build_runs_no_program_and_says_cached() {
    let world = World::importing();
    world.ok(&BUILD).says(&["install"]);
    let before = world.stored();
    let mut build = world.command(&BUILD);
    let said = build.env("PATH", "/nonexistent").said();
    said.ok().says(&["cached"]);
    assert_eq!(world.stored(), before);
}

#[test]
fn explain_names_the_input_that_changed() {
    let world = World::importing();
    let plan = |words: &[&str]| {
        let args = ["plan", "small", "--until", "install", "--explain"];
        world.ok(&args).prints(words);
    };
    plan(&["never built"]);
    assert!(!world.path("state").exists(), "a plan only looks");
    world.ok(&BUILD);
    plan(&["cached"]);
    world.image(
        "small",
        "install: {import: {image: files/disk.raw}}\nmachine: {disk: 2GiB}\n",
    );
    plan(&["machine.disk", "2GiB"]);
    // The old result is still there.
    world.image("small", IMPORT);
    plan(&["cached"]);
    world.write("files/disk.raw", vec![1u8; 4 << 20]);
    plan(&["files/disk.raw changed"]);
}

#[test]
fn of_two_builds_of_one_recipe_one_works_and_the_other_reuses() {
    let world = World::importing();
    let log = world.path("calls");
    let real = real();
    let script = format!("echo $1 >> {}; exec {real} \"$@\"", log.display());
    let path = fake(&world, &script);
    let start = || -> Child {
        world
            .command(&BUILD)
            .env("PATH", &path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let builds = [start(), start()];
    let ends = builds.map(|build| build.wait_with_output().unwrap());
    assert!(ends.iter().all(|end| end.status.success()), "{ends:?}");
    let converts = std::fs::read_to_string(&log).unwrap();
    assert_eq!(
        converts.lines().filter(|line| *line == "convert").count(),
        1,
        "{converts}"
    );
    assert_eq!(world.stored().len(), 1);
}

#[test]
fn a_killed_build_is_cleared_up_by_the_next_one() {
    let world = World::importing();
    let path = fake(
        &world,
        &format!("touch {}; sleep infinity", world.path("begun").display()),
    );
    let mut build = world
        .command(&BUILD)
        .env("PATH", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the import", || world.path("begun").exists());
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(
        world
            .stored()
            .iter()
            .any(|name| name.starts_with(".draft-")),
        "it was in the middle"
    );
    world.ok(&BUILD);
    let stored = world.stored();
    assert!(stored.len() == 1 && stored[0].len() == 64, "{stored:?}");
    assert!(names(&world.path("state/ledger")).is_empty());
}

#[test]
fn ctrl_c_leaves_no_draft_and_ends_with_130() {
    let world = World::importing();
    let path = fake(
        &world,
        &format!("touch {}; sleep infinity", world.path("begun").display()),
    );
    let mut build = world
        .command(&BUILD)
        .env("PATH", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the import", || world.path("begun").exists());
    let pid = rustix::process::Pid::from_child(&build);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(build.wait().unwrap().code(), Some(130));
    assert!(world.stored().is_empty(), "{:?}", world.stored());
    assert!(names(&world.path("state/ledger")).is_empty());
}

#[test]
fn a_failed_stage_says_where_its_log_is_and_how_to_go_on() {
    let world = World::importing();
    let path = fake(&world, "echo 'no luck' >&2; exit 1");
    let failed = world.command(&BUILD).env("PATH", &path).said().exits(1);
    failed.says(&[
        "install stage of small failed",
        "no luck",
        "install.log",
        &world.goes_on("build small --until install"),
    ]);
    // Who types what it says gets what was asked for.
    let args = ["build", "small", "-o", "my out"];
    let failed = world.command(&args).env("PATH", &path).said().exits(1);
    failed.says(&[&world.goes_on("build small --output 'my out'")]);
    assert!(world.stored().is_empty());
}

#[test]
fn offline_names_what_is_missing_and_uses_what_is_there() {
    let world = World::importing();
    let args = ["build", "small", "--until", "install", "--offline"];
    world.image("small", "install: {bootstrap: {suite: trixie}}\n");
    world
        .run(&args)
        .exits(3)
        .says(&["small install", "offline"]);
}

#[test]
fn an_end_before_the_beginning_is_refused() {
    let world = World::importing();
    let args = [
        "build",
        "small",
        "--from",
        "configure",
        "--until",
        "install",
    ];
    world.run(&args).exits(2).says(&["--until install"]);
}

#[test]
fn gc_frees_what_is_asked_for_and_says_so() {
    let world = World::importing();
    world.ok(&BUILD);
    assert_eq!(world.stored().len(), 1);
    world.ok(&["gc", "--free", "1GiB"]);
    assert!(world.stored().is_empty());
}

#[test]
fn what_stops_a_publication_is_said_before_anything_is_built() {
    let world = World::importing();
    let refused = |code: i32, said: &str| {
        let told = world.run(&["build", "small", "--publish"]).exits(code);
        told.says(&[said, "hint: "]);
        assert_eq!(world.stored(), [""; 0], "nothing was built");
    };
    refused(2, "no repository `main`");
    world.configure("repositories: {main: {path: files/disk.raw}}\n");
    refused(3, "files/disk.raw cannot be written");
    // A channel is no path.
    world
        .run(&["build", "small", "--publish", "../up"])
        .exits(2);
}

#[test]
fn a_kept_disk_stays_until_the_next_build_only() {
    let world = World::importing();
    let path = fake(&world, "exit 3");
    let failing = [&BUILD[..], &["--on-error", "keep"]].concat();
    let mut failing = world.command(&failing);
    failing.env("PATH", &path).said().exits(1);
    assert_eq!(world.stored(), [".kept-small"]);
    world.ok(&BUILD);
    assert!(!world.stored().contains(&".kept-small".to_owned()));
}

#[test]
fn ctrl_c_ends_a_download_from_a_silent_server() {
    let world = World::importing();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.raw", server.local_addr().unwrap());
    let digest = "0".repeat(64);
    world.image(
        "small",
        &format!("install: {{import: {{image: \"{url}\", sha256: {digest}}}}}\n"),
    );
    let mut build = world.command(&BUILD).stderr(Stdio::null()).spawn().unwrap();
    let silent = server.accept().unwrap();
    let pid = rustix::process::Pid::from_child(&build);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    wait_for("the end of the build", || {
        build.try_wait().unwrap().is_some()
    });
    assert_eq!(build.wait().unwrap().code(), Some(130));
    drop(silent);
}

#[test]
fn a_read_only_state_directory_still_serves_what_it_has() {
    let world = World::importing();
    world.ok(&BUILD);
    let read_only =
        "mount --bind state state && mount -o remount,ro,bind state state && exec \"$@\"";
    let inside = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        read_only,
        "sh",
    ];
    let mut build = under(&inside, &world.command(&BUILD));
    let said = build.current_dir(world.dir.path()).said();
    said.ok().says(&["cached"]);
}

/// What lies in a checkout while a stage runs, and the right bytes again afterwards, may not be
/// what the store has under the key of the right ones.
#[test]
fn a_file_that_is_swapped_during_its_stage_gets_into_no_layer() {
    let world = World::importing();
    let right = std::fs::read(world.path("files/disk.raw")).unwrap();
    let mut evil = right.clone();
    evil[1 << 20..][..4].copy_from_slice(b"evil");
    std::fs::write(world.path("evil.raw"), &evil).unwrap();
    std::fs::create_dir(world.path("aside")).unwrap();
    // Neither the file's own times nor its inode tell of it.
    let (aside, files, real) = (world.path("aside"), world.path("files"), real());
    let (aside, files) = (aside.display(), files.display());
    let evil = world.path("evil.raw").display().to_string();
    let script = format!(
        "mv {files} {aside}/files; mkdir {files}; cp {evil} {files}/disk.raw\n\
         {real} \"$@\"; code=$?\n\
         rm -r {files}; mv {aside}/files {files}; exit $code"
    );
    let path = fake(&world, &script);
    world.command(&BUILD).env("PATH", &path).said().ok();
    assert_eq!(std::fs::read(world.path("files/disk.raw")).unwrap(), right);
    let stored = world.stored();
    let entry = world.path("state/store").join(&stored[0]);
    let own = [
        "disk.qcow2",
        "fetched.json",
        "files.zst",
        "meta.json",
        "used",
    ];
    assert_eq!(names(&entry), own);
    let plain = world.path("plain.raw");
    let convert = exec::Program::new("qemu-img").args(["convert", "-O", "raw"]);
    convert
        .arg(entry.join("disk.qcow2"))
        .arg(&plain)
        .run()
        .unwrap();
    let plain = std::fs::read(plain).unwrap();
    assert!(plain[..right.len()] == right, "the layer has other bytes");
}

/// With a digest in the recipe it was compared, and then opened again by its name.
#[test]
fn a_file_that_is_swapped_after_its_digest_was_compared_is_not_the_one_that_is_used() {
    let world = World::importing();
    let sum = imgforge::digest::file_sha256(&world.path("files/disk.raw")).unwrap();
    let recipe = format!(
        "install: {{import: {{image: files/disk.raw, sha256: {sum}}}}}\nmachine: {{disk: 1GiB}}\n"
    );
    world.image("small", &recipe);
    let (disk, real) = (world.path("files/disk.raw"), real());
    let script = format!(
        "echo evil | dd of={} bs=1 seek=1048576 conv=notrunc 2>&-; exec {real} \"$@\"",
        disk.display()
    );
    let path = fake(&world, &script);
    world.command(&BUILD).env("PATH", &path).said().ok();
    let entry = world.path("state/store").join(&world.stored()[0]);
    let layer = std::fs::read(entry.join("disk.qcow2")).unwrap();
    assert!(!layer.windows(4).any(|four| four == b"evil"));
}

/// The recipe that was parsed is the one that a commit is asked about, however late.
#[test]
fn a_file_that_changed_since_the_plan_is_refused() {
    let world = World::importing();
    world.write("evil", "evil");
    // The tools are asked for their versions between the plan and the first stage.
    let (real, disk, evil) = (real(), world.path("files/disk.raw"), world.path("evil"));
    let path = fake(&world, "exit 9");
    let script = format!(
        "#!/bin/sh\ncp {} {}\nexec {real} \"$@\"\n",
        evil.display(),
        disk.display()
    );
    world.write("bin/qemu-img", &script);
    let refused = world.command(&BUILD).env("PATH", &path).said().exits(1);
    refused.says(&[
        "files/disk.raw changed since the build was planned",
        "hint: build again",
    ]);
    assert!(world.stored().is_empty());
    // The next plan is made of what is there.
    world.run(&BUILD).says(&["is not a disk image"]);
}

/// mmdebstrap takes a file that is called as a word of its options for what the word says.
#[test]
fn mmdebstrap_starts_where_nobody_else_has_left_files() {
    let world = World::importing();
    world.image("small", "install: {bootstrap: {suite: trixie}}\n");
    let (log, real) = (world.path("started-in"), exec::find("mmdebstrap").unwrap());
    let (log, real) = (log.display(), real.display());
    // The one that asks for the mirror goes on; the one that installs has been seen by then.
    let ask = format!("[ \"$1\" = --version ] || pwd >>{log}");
    let ends = format!("case $* in *mode=root*) exit 1;; esac; exec {real} \"$@\"");
    let path = world.script("mmdebstrap", &format!("{ask}\n{ends}"));
    let mut build = world.command(&BUILD);
    let said = build.env("PATH", &path).said();
    said.exits(1).says(&["bootstrapping Debian"]);
    let seen = world.read("started-in");
    let state = world.path("state").canonicalize().unwrap();
    let ours = seen
        .lines()
        .filter(|dir| std::path::Path::new(dir).starts_with(&state));
    assert_eq!((ours.count(), seen.lines().count()), (2, 2), "{seen}");
}

/// A bootstrap, a toolbox and a container run programs of the image's architecture on this host.
#[test]
fn a_missing_user_mode_of_qemu_is_told_before_the_first_stage_works() {
    let world = World::importing();
    let machine = "machine: {disk: 1GiB, arch: aarch64}\n";
    let import = "install: {import: {image: files/disk.raw}}\n";
    world.write("ansible/site.yml", "- {hosts: all, tasks: []}\n");
    let more = [
        ("install: {bootstrap: {suite: trixie}}\n", ""),
        (
            import,
            "configure: [{ansible: {playbook: ansible/site.yml}}]\n",
        ),
        (import, "targets: {docker: {}}\n"),
    ];
    let hidden =
        "for qemu in /usr/bin/qemu-aarch64*; do mount --bind /dev/null $qemu; done\nexec \"$@\"";
    let namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
    let apart = [&namespace[..], &[hidden, "sh"]].concat();
    for (install, more) in more {
        world.image("small", &format!("{install}{machine}{more}"));
        let refused = under(&apart, &world.command(&["build", "small"])).said();
        refused
            .exits(3)
            .says(&["programs of aarch64", "apt-get install qemu-user-static"]);
        assert_eq!(world.stored(), [""; 0]);
    }
}
