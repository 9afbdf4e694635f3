//! The gate with real machines: what does not boot is not published, a kill leaves nothing, and
//! what is accepted is in the manifest with its reasons.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use imgforge::guest::{Drive, Guestfs, Launch};
use imgforge::host::accel::Setting;
use imgforge::host::exec::Program;
use serde_json::Value;

/// A recipe repository with a state directory and an image repository of its own.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        // libvirt and gpg dislike long paths; /var/tmp survives large files.
        let dir = tempfile::Builder::new()
            .prefix("imgforge-gate-")
            .tempdir_in("/var/tmp")
            .unwrap();
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        let config = "state: state\nrepositories: {main: {path: repo}}\n";
        std::fs::write(dir.path().join("imgforge.yaml"), config).unwrap();
        World { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn recipe(&self, name: &str, text: &str) {
        let text =
            format!("name: {name}\nmachine: {{disk: 2GiB, memory: 1GiB, firmware: both}}\n{text}");
        std::fs::write(self.path(&format!("recipes/{name}.yaml")), text).unwrap();
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgforge"));
        command.arg("-C").arg(self.dir.path()).args(args);
        command.args(["--progress", "plain"]).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Processes whose command line names something below the world.
    fn left_over(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines =
            processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        texts
            .filter(|line| line.contains(path(self.dir.path())))
            .collect()
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = stderr.lines().rev().take(60).collect();
    assert!(
        output.status.success(),
        "{:#?}",
        lines.into_iter().rev().collect::<Vec<_>>()
    );
}

/// What is broken in the copies of the base image, each `/dev/sdX3` being its root.
const BROKEN: [&str; 3] = ["fstab", "initrd", "unit"];

fn break_copies(world: &World) {
    let disks = BROKEN.map(|name| world.path(&format!("{name}.raw")));
    for disk in &disks {
        let copy = Program::new("cp").args(["--sparse=always"]);
        copy.arg(world.path("base.raw")).arg(disk).run().unwrap();
    }
    let drives = disks.each_ref().map(|path| Drive {
        path,
        format: "raw",
        readonly: false,
    });
    let guest = Guestfs::launch(&Launch {
        drives: &drives,
        accel: Setting::Auto.choose().accel,
        ui: None,
    })
    .unwrap();
    guest.mount("/dev/sda3", "/").unwrap();
    let line = "UUID=11111111-2222-3333-4444-555555555555 /data ext4 defaults,x-systemd.device-timeout=5s 0 2\n";
    guest.append("/etc/fstab", line).unwrap();
    guest.umount_all().unwrap();
    guest.mount("/dev/sdb3", "/").unwrap();
    for initrd in guest.glob("/boot/initrd.img-*").unwrap() {
        guest.rm_f(&initrd).unwrap();
    }
    guest.umount_all().unwrap();
    guest.mount("/dev/sdc3", "/").unwrap();
    let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the cause is here; exit 1'\n";
    guest
        .write("/etc/systemd/system/broken.service", unit)
        .unwrap();
    let wants = "/etc/systemd/system/multi-user.target.wants";
    guest.mkdir_p(wants).unwrap();
    guest
        .ln_sf("../broken.service", &format!("{wants}/broken.service"))
        .unwrap();
    // A leftover that the recipe of the last test accepts.
    guest
        .write("/etc/app.conf", "password = hunter22x\n")
        .unwrap();
    guest.close().unwrap();
}

#[test]
#[ignore = "vm"]
fn what_does_not_boot_is_never_published() {
    let world = World::new();
    world.recipe(
        "base",
        "install: {bootstrap: {suite: trixie, packages: [openssh-server, libpam-systemd]}}\n",
    );
    succeeds(&world.run(&["build", "base", "--until", "seal"]));
    let sealed = sealed_disk(&world);
    let convert = Program::new("qemu-img").args(["convert", "-O", "raw"]);
    convert
        .arg(&sealed)
        .arg(world.path("base.raw"))
        .run()
        .unwrap();
    break_copies(&world);
    for name in BROKEN {
        world.recipe(
            name,
            &format!(
                "install: {{import: {{image: {}}}}}\n",
                path(&world.path(&format!("{name}.raw")))
            ),
        );
    }

    // A leftover ends the gate before a clone boots.
    let leftover = world.run(&["build", "unit", "--publish"]);
    refused(
        &world,
        "unit",
        &leftover,
        "secret-assignment: /etc/app.conf (line 1)",
    );
    let allow =
        "check:\n  allow: [{rule: secret-assignment, path: /etc/app.conf, reason: it is a joke}]\n";
    let import = format!(
        "install: {{import: {{image: {}}}}}\n{allow}",
        path(&world.path("unit.raw"))
    );
    world.recipe("unit", &import);
    a_kill_leaves_nothing(&world);

    let unit = world.run(&["build", "unit", "--publish"]);
    refused(&world, "unit", &unit, "the unit broken.service failed");
    let journal = world.path("state/logs/unit/unit-clone-a-journal.log");
    assert!(
        std::fs::read_to_string(journal)
            .unwrap()
            .contains("the cause is here")
    );
    refused(
        &world,
        "fstab",
        &world.run(&["build", "fstab", "--publish"]),
        "emergency mode",
    );
    refused(
        &world,
        "initrd",
        &world.run(&["build", "initrd", "--publish"]),
        "kernel panicked",
    );

    world.recipe(
        "unit",
        &format!("{import}  failed-units: {{broken.service: it is broken on purpose}}\npack: {{profile: fast}}\n"),
    );
    succeeds(&world.run(&["build", "unit", "--publish"]));
    let manifest = std::fs::read(world.path("repo/images/unit/1/manifest.json")).unwrap();
    let gate = serde_json::from_slice::<Value>(&manifest).unwrap()["gate"].clone();
    assert_eq!(gate["scan"]["accepted"][0]["reason"], "it is a joke");
    for clone in gate["clones"].as_array().unwrap() {
        assert_eq!(
            clone["accepted-units"]["broken.service"],
            "it is broken on purpose"
        );
        assert!(clone["healthy-after"].as_u64().unwrap() > 0);
    }
}

fn sealed_disk(world: &World) -> PathBuf {
    let entries = std::fs::read_dir(world.path("state/store"))
        .unwrap()
        .flatten();
    let sealed = entries.map(|entry| entry.path()).find(|entry| {
        let meta = std::fs::read(entry.join("meta.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&meta).is_ok_and(|meta| meta["stage"] == "seal")
    });
    sealed.unwrap().join("disk.qcow2")
}

/// The gate said why, kept its evidence and named it, and nothing was published.
#[track_caller]
fn refused(world: &World, image: &str, output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<_> = stderr.lines().rev().take(60).collect();
    assert_eq!(output.status.code(), Some(4), "{tail:#?}");
    assert!(stderr.contains(why), "no `{why}` in {tail:#?}");
    let logs = world.path(&format!("state/logs/{image}"));
    let named: Vec<&str> = stderr
        .split([' ', ',', '\n'])
        .filter(|word| word.starts_with(path(&logs)))
        .collect();
    assert!(
        named.iter().any(|name| name.ends_with("gate.json")),
        "{tail:#?}"
    );
    if !stderr.contains("leftover of its build") {
        for end in [".png", "console.log"] {
            assert!(
                named.iter().any(|name| name.ends_with(end)),
                "{end}: {tail:#?}"
            );
        }
    }
    for name in named {
        assert!(Path::new(name).exists(), "{name}");
    }
    assert!(!world.path(&format!("repo/images/{image}")).exists());
    assert!(world.left_over().is_empty(), "{:?}", world.left_over());
}

/// SIGKILL while both clones run; the next command clears up.
fn a_kill_leaves_nothing(world: &World) {
    let mut build = world.command(&["build", "unit", "--publish"]);
    let mut killed = build
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let console =
        |clone: &str| world.path(&format!("state/logs/unit/unit-clone-{clone}-console.log"));
    let speaks = |clone| std::fs::metadata(console(clone)).is_ok_and(|meta| meta.len() > 0);
    let limit = Instant::now() + Duration::from_secs(400);
    while !(speaks("a") && speaks("b")) {
        let running = killed.try_wait().unwrap().is_none();
        assert!(running && Instant::now() < limit, "no clones");
        std::thread::sleep(Duration::from_millis(100));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    succeeds(&world.run(&["gc"]));
    assert!(world.left_over().is_empty(), "{:?}", world.left_over());
}
