//! The pipeline through the real binary, with `import` as the quickest real stage.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::patience::wait_for;

/// A recipe repository with one image that imports a small disk.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        world.write("imgforge.yaml", "state: state\n");
        world.recipe("install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n");
        let mut disk = vec![0u8; 4 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::create_dir_all(world.path("files")).unwrap();
        std::fs::write(world.path("files/disk.raw"), disk).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn recipe(&self, body: &str) {
        self.write("recipes/small.yaml", &format!("name: small\n{body}"));
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::slots::IMGFORGE_WITHOUT_GUESTS);
        command
            .arg("-C")
            .arg(self.dir.path())
            .args(args)
            .stdin(Stdio::null());
        command.args(["--progress", "plain", "--accel", "tcg"]);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {stderr}");
        stderr
    }

    pub(crate) fn stored(&self) -> Vec<String> {
        names(&self.path("state/store"))
    }

    /// A `qemu-img` comes first on `PATH` that runs `script`, but when it is asked who it is.
    pub(crate) fn fake(&self, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let (path, real) = (self.path("bin/qemu-img"), which("qemu-img"));
        let ask = format!("case $1 in --version) exec {real} $1;; esac");
        self.write("bin/qemu-img", &format!("#!/bin/sh\n{ask}\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        )
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

const BUILD: [&str; 4] = ["build", "small", "--until", "install"];

#[test]
fn a_second_build_runs_no_program_and_says_cached() {
    let world = World::new();
    assert!(world.ok(&BUILD).contains("install"));
    let before = world.stored();
    let output = world
        .command(&BUILD)
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("cached"),
        "{stderr}"
    );
    assert_eq!(world.stored(), before);
}

#[test]
fn explain_names_the_input_that_changed() {
    let world = World::new();
    let plan = |world: &World| {
        let args = ["plan", "small", "--until", "install", "--explain"];
        let output = world.run(&args);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(plan(&world).contains("never built"), "{}", plan(&world));
    assert!(!world.path("state").exists(), "a plan only looks");
    world.ok(&BUILD);
    assert!(plan(&world).contains("cached"), "{}", plan(&world));
    world.recipe("install: {import: {image: files/disk.raw}}\nmachine: {disk: 2GiB}\n");
    let text = plan(&world);
    assert!(
        text.contains("machine.disk") && text.contains("2GiB"),
        "{text}"
    );
    world.recipe("install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n");
    assert!(
        plan(&world).contains("cached"),
        "the old result is still there"
    );
    std::fs::write(world.path("files/disk.raw"), vec![1u8; 4 << 20]).unwrap();
    assert!(
        plan(&world).contains("files/disk.raw changed"),
        "{}",
        plan(&world)
    );
}

#[test]
fn of_two_builds_of_one_recipe_one_works_and_the_other_reuses() {
    let world = World::new();
    let log = world.path("calls");
    let real = which("qemu-img");
    let script = format!("echo $1 >> {}; exec {real} \"$@\"", log.display());
    let path = world.fake(&script);
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
    let world = World::new();
    let path = world.fake(&format!(
        "touch {}; sleep infinity",
        world.path("begun").display()
    ));
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
    let world = World::new();
    let path = world.fake(&format!(
        "touch {}; sleep infinity",
        world.path("begun").display()
    ));
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
    let world = World::new();
    let path = world.fake("echo 'no luck' >&2; exit 1");
    let output = world.command(&BUILD).env("PATH", &path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in [
        "install stage of small failed",
        "no luck",
        "install.log",
        "imgforge build small",
    ] {
        assert!(stderr.contains(part), "`{part}` is missing in {stderr}");
    }
    assert!(world.stored().is_empty());
}

#[test]
fn offline_names_what_is_missing_and_uses_what_is_there() {
    let world = World::new();
    let args = ["build", "small", "--until", "install", "--offline"];
    world.recipe("install: {bootstrap: {suite: trixie}}\n");
    let output = world.run(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("small install") && stderr.contains("offline"),
        "{stderr}"
    );
}

#[test]
fn an_end_before_the_beginning_is_refused() {
    let world = World::new();
    let output = world.run(&[
        "build",
        "small",
        "--from",
        "configure",
        "--until",
        "install",
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--until install"), "{stderr}");
}

#[test]
fn gc_frees_what_is_asked_for_and_says_so() {
    let world = World::new();
    world.ok(&BUILD);
    assert_eq!(world.stored().len(), 1);
    world.ok(&["gc", "--free", "1GiB"]);
    assert!(world.stored().is_empty());
}

fn which(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    found.unwrap().display().to_string()
}

#[test]
fn what_stops_a_publication_is_said_before_anything_is_built() {
    let world = World::new();
    let refused = |code: i32, said: &str| {
        let output = world.run(&["build", "small", "--publish"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains(said) && stderr.contains("hint: "),
            "{stderr}"
        );
        assert_eq!(world.stored(), [""; 0], "nothing was built");
    };
    refused(2, "no repository `main`");
    world.write(
        "imgforge.yaml",
        "state: state\nrepositories: {main: {path: files/disk.raw}}\n",
    );
    refused(3, "files/disk.raw cannot be written");
    let output = world.run(&["build", "small", "--publish", "../up"]);
    assert_eq!(output.status.code(), Some(2), "a channel is no path");
}

#[test]
fn a_kept_disk_stays_until_the_next_build_only() {
    let world = World::new();
    let path = world.fake("exit 3");
    let failing = [&BUILD[..], &["--on-error", "keep"]].concat();
    let mut failing = world.command(&failing);
    assert_eq!(
        failing.env("PATH", &path).output().unwrap().status.code(),
        Some(1)
    );
    assert_eq!(world.stored(), [".kept-small"]);
    world.ok(&BUILD);
    assert!(!world.stored().contains(&".kept-small".to_owned()));
}

#[test]
fn ctrl_c_ends_a_download_from_a_silent_server() {
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.raw", server.local_addr().unwrap());
    let digest = "0".repeat(64);
    world.recipe(&format!(
        "install: {{import: {{image: \"{url}\", sha256: {digest}}}}}\n"
    ));
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
    let world = World::new();
    world.ok(&BUILD);
    let read_only =
        "mount --bind state state && mount -o remount,ro,bind state state && exec \"$@\"";
    let build = world.command(&BUILD);
    let mut inside = shell(read_only, &build);
    let output = inside.current_dir(world.dir.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("cached"),
        "{stderr}"
    );
}

/// Runs `command` by `script` in a mount namespace of its own.
#[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
fn shell(script: &str, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    inside
}

/// What lies in a checkout while a stage runs, and the right bytes again afterwards, may not be
/// what the store has under the key of the right ones.
#[test]
fn a_file_that_is_swapped_during_its_stage_gets_into_no_layer() {
    let world = World::new();
    let right = std::fs::read(world.path("files/disk.raw")).unwrap();
    let mut evil = right.clone();
    evil[1 << 20..][..4].copy_from_slice(b"evil");
    std::fs::write(world.path("evil.raw"), &evil).unwrap();
    std::fs::create_dir(world.path("aside")).unwrap();
    // Neither the file's own times nor its inode tell of it.
    let (aside, files, real) = (world.path("aside"), world.path("files"), which("qemu-img"));
    let (aside, files) = (aside.display(), files.display());
    let evil = world.path("evil.raw").display().to_string();
    let script = format!(
        "mv {files} {aside}/files; mkdir {files}; cp {evil} {files}/disk.raw\n\
         {real} \"$@\"; code=$?\n\
         rm -r {files}; mv {aside}/files {files}; exit $code"
    );
    let path = world.fake(&script);
    let build = world.command(&BUILD).env("PATH", &path).output().unwrap();
    let stderr = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "{stderr}");
    assert_eq!(std::fs::read(world.path("files/disk.raw")).unwrap(), right);
    let stored = world.stored();
    let entry = world.path("state/store").join(&stored[0]);
    assert_eq!(names(&entry), ["disk.qcow2", "meta.json", "used"]);
    let plain = world.path("plain.raw");
    let convert = imgforge::host::exec::Program::new("qemu-img").args(["convert", "-O", "raw"]);
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
    let world = World::new();
    let sum = imgforge::digest::file_sha256(&world.path("files/disk.raw")).unwrap();
    let recipe = format!(
        "install: {{import: {{image: files/disk.raw, sha256: {sum}}}}}\nmachine: {{disk: 1GiB}}\n"
    );
    world.recipe(&recipe);
    let (disk, real) = (world.path("files/disk.raw"), which("qemu-img"));
    let script = format!(
        "echo evil | dd of={} bs=1 seek=1048576 conv=notrunc 2>&-; exec {real} \"$@\"",
        disk.display()
    );
    let path = world.fake(&script);
    let build = world.command(&BUILD).env("PATH", &path).output().unwrap();
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );
    let entry = world.path("state/store").join(&world.stored()[0]);
    let layer = std::fs::read(entry.join("disk.qcow2")).unwrap();
    assert!(!layer.windows(4).any(|four| four == b"evil"));
}

/// The recipe that was parsed is the one that a commit is asked about, however late.
#[test]
fn a_file_that_changed_since_the_plan_is_refused() {
    let world = World::new();
    world.write("evil", "evil");
    // The tools are asked for their versions between the plan and the first stage.
    let (real, disk, evil) = (
        which("qemu-img"),
        world.path("files/disk.raw"),
        world.path("evil"),
    );
    let path = world.fake("exit 9");
    let script = format!(
        "#!/bin/sh\ncp {} {}\nexec {real} \"$@\"\n",
        evil.display(),
        disk.display()
    );
    world.write("bin/qemu-img", &script);
    let build = world.command(&BUILD).env("PATH", &path).output().unwrap();
    let stderr = String::from_utf8_lossy(&build.stderr);
    assert_eq!(build.status.code(), Some(1), "{stderr}");
    for words in [
        "files/disk.raw changed since the build was planned",
        "hint: build again",
    ] {
        assert!(stderr.contains(words), "`{words}` is missing in {stderr}");
    }
    assert!(world.stored().is_empty());
    // The next plan is made of what is there.
    let build = world.run(&BUILD);
    let stderr = String::from_utf8_lossy(&build.stderr);
    assert!(stderr.contains("is not a disk image"), "{stderr}");
}
