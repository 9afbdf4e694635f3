//! The gate with real machines: what does not boot is not published, a kill leaves nothing, and
//! what is accepted is in the manifest with its reasons.

mod small;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use imgforge::guest::{Drive, Launch};
use imgforge::host::accel::Setting;
use imgforge::host::exec::Program;
use serde_json::Value;

use crate::patience::wait_for;
use crate::slots;

/// A recipe repository with a state directory and an image repository of its own.
pub(crate) struct World {
    dir: tempfile::TempDir,
    firmware: &'static str,
}

impl World {
    pub(crate) fn new(firmware: &'static str) -> Self {
        // libvirt and gpg dislike long paths; /var/tmp survives large files.
        let dir = tempfile::Builder::new()
            .prefix("imgforge-gate-")
            .tempdir_in("/var/tmp")
            .unwrap();
        std::fs::create_dir(dir.path().join("recipes")).unwrap();
        let config = "state: state\nrepositories: {main: {path: repo}}\n";
        std::fs::write(dir.path().join("imgforge.yaml"), config).unwrap();
        World { dir, firmware }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn recipe(&self, name: &str, text: &str) {
        let machine = format!("{{disk: 2GiB, memory: 1GiB, firmware: {}}}", self.firmware);
        let text = format!("name: {name}\nmachine: {machine}\n{text}");
        std::fs::write(self.path(&format!("recipes/{name}.yaml")), text).unwrap();
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(slots::imgforge());
        command.arg("-C").arg(self.dir.path()).args(args);
        command.args(["--progress", "plain"]).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
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
pub(crate) fn succeeds(output: &Output) {
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
    let guest = slots::launch(&Launch {
        drives: &drives,
        accel: Setting::Auto.choose().accel,
        ui: None,
    })
    .unwrap();
    guest.mount("/dev/sda3", "/").unwrap();
    let line = "UUID=11111111-2222-3333-4444-555555555555 /data ext4 defaults,x-systemd.device-timeout=1s 0 2\n";
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
    guest.close().unwrap();
}

/// Builds `packages` with a machine of `firmware`, breaks copies of it, and writes a recipe for each.
fn broken(packages: &str, firmware: &'static str) -> World {
    slots::take(2);
    let world = World::new(firmware);
    world.recipe(
        "base",
        &format!("install: {{bootstrap: {{suite: trixie, packages: [{packages}]}}}}\n"),
    );
    succeeds(&world.run(&["build", "base", "--until", "install"]));
    let convert = Program::new("qemu-img").args(["convert", "-O", "raw"]);
    convert
        .arg(disk_of(&world, "install"))
        .arg(world.path("base.raw"))
        .run()
        .unwrap();
    break_copies(&world);
    for name in BROKEN {
        world.recipe(name, &import(&world, name));
    }
    world
}

fn import(world: &World, name: &str) -> String {
    let disk = world.path(&format!("{name}.raw"));
    format!("install: {{import: {{image: {}}}}}\n", path(&disk))
}

/// As `small` does, with the init systems and boot loaders of a real one. Some ten minutes.
#[test]
#[ignore = "e2e: src/stage/check src/runner"]
fn what_does_not_boot_is_never_published() {
    let world = broken("", "bios");
    for (name, why) in [
        ("initrd", "kernel panicked"),
        ("fstab", "emergency mode"),
        ("unit", "the unit broken.service failed"),
    ] {
        refused(&world, name, &world.run(&["build", name, "--publish"]), why);
    }
    // A device that is late twice is missing.
    let log = std::fs::read_to_string(world.path("state/logs/fstab/check.log")).unwrap();
    let again = log
        .matches("clone a: the guest starts again: a device")
        .count();
    assert!(again <= 1, "{log}");
    let journal = world.path("state/logs/unit/unit-clone-a-journal.log");
    let journal = std::fs::read_to_string(journal).unwrap();
    assert!(journal.contains("the cause is here"), "{journal}");
}

/// A leftover, a kill and exceptions, with both firmwares; and a step that writes a secret where
/// no file is. Some ten minutes.
#[test]
#[ignore = "e2e: src/stage/check src/scan src/sysprep"]
fn e2e_leftovers_end_the_gate_exceptions_are_told_and_secrets_stay_out_of_the_store() {
    let world = broken("openssh-server, libpam-systemd", "both");
    // It ends before a clone boots.
    leave_a_password(&world);
    let leftover = world.run(&["build", "unit", "--publish"]);
    let why = "secret-assignment: /etc/app.conf (line 1)";
    refused(&world, "unit", &leftover, why);
    let allow =
        "check:\n  allow: [{rule: secret-assignment, path: /etc/app.conf, reason: it is a joke}]\n";
    let import = format!("{}{allow}", import(&world, "unit"));
    world.recipe("unit", &import);
    a_kill_leaves_nothing(&world);

    world.recipe(
        "unit",
        &format!("{import}  failed-units: {{broken.service: it is broken on purpose}}\npack: {{profile: fast}}\n"),
    );
    published_with_its_exceptions(&world);

    // Between the first partition table and the first partition, where no file is.
    let step = r#"dd if="$IMGFORGE_SECRET_TOKEN" of=/dev/vda bs=512 seek=64 conv=notrunc,sync"#;
    world.recipe(
        "guarded",
        &format!("from: base\nsecrets: {{token: {{env: {VARIABLE}}}}}\nconfigure: [{{shell: {{run: '{step}'}}}}]\n"),
    );
    let mut build = world.command(&["build", "guarded", "--until", "configure"]);
    not_kept(
        &world,
        "configure",
        &build.env(VARIABLE, SECRET).output().unwrap(),
    );
}

/// The image `unit` passes; what was accepted is in its manifest, with the reasons.
#[track_caller]
fn published_with_its_exceptions(world: &World) {
    succeeds(&world.run(&["build", "unit", "--publish"]));
    let manifest = std::fs::read(world.path("repo/images/unit/1/manifest.json")).unwrap();
    let gate = serde_json::from_slice::<Value>(&manifest).unwrap()["gate"].clone();
    assert_eq!(gate["scan"]["accepted"][0]["reason"], "it is a joke");
    let ids: Vec<_> = gate["clones"]
        .as_array()
        .unwrap()
        .iter()
        .map(|clone| {
            assert_eq!(
                clone["accepted-units"]["broken.service"],
                "it is broken on purpose"
            );
            assert!(clone["healthy-after"].as_u64().unwrap() > 0);
            assert!(
                !clone["kernel"]
                    .as_str()
                    .unwrap()
                    .ends_with(char::is_whitespace)
            );
            clone["machine-id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

/// A clean Debian and a clean Ubuntu give no alarm once they are sealed, and their seal is what
/// they owe it to. Minutes.
#[test]
#[ignore = "e2e: src/scan src/sysprep"]
fn e2e_a_clean_debian_and_a_clean_ubuntu_give_no_alarm() {
    let world = World::new("both");
    for suite in ["trixie", "noble"] {
        let packages = "openssh-server, cloud-init, libpam-systemd, python3, sudo";
        world.recipe(
            suite,
            &format!("install: {{bootstrap: {{suite: {suite}, packages: [{packages}]}}}}\n"),
        );
        succeeds(&world.run(&["build", suite, "--until", "seal"]));
        for (stage, code) in [("install", 4), ("seal", 0)] {
            let disk = entry_of(&world, stage, suite).unwrap().join("disk.qcow2");
            let below = below(&disk);
            let below = below.iter().flat_map(|file| ["--backing", file]);
            let args: Vec<_> = ["disk", "scan", "--json", path(&disk)]
                .into_iter()
                .chain(below)
                .collect();
            let scan = world.run(&args);
            let said = String::from_utf8_lossy(&scan.stderr);
            let report: Value = serde_json::from_slice(&scan.stdout).expect(&said);
            let findings = &report["findings"];
            assert_eq!(scan.status.code(), Some(code), "{suite}: {findings:#}");
            assert!(report["files"].as_u64().unwrap() > 1000, "{suite}");
        }
    }
}

/// The files below an overlay.
fn below(disk: &Path) -> Vec<String> {
    let info = Program::new("qemu-img").args(["info", "--backing-chain", "--output=json"]);
    let chain: Value = serde_json::from_str(&info.arg(disk).text().unwrap()).unwrap();
    let files = chain.as_array().unwrap().iter().skip(1);
    files
        .map(|file| file["filename"].as_str().unwrap().to_owned())
        .collect()
}

/// Puts a leftover into the image `unit`.
fn leave_a_password(world: &World) {
    let disk = world.path("unit.raw");
    let drives = [Drive {
        path: &disk,
        format: "raw",
        readonly: false,
    }];
    let guest = slots::launch(&Launch {
        drives: &drives,
        accel: Setting::Auto.choose().accel,
        ui: None,
    })
    .unwrap();
    guest.mount_root().unwrap();
    guest
        .write("/etc/app.conf", "password = hunter22x\n")
        .unwrap();
    guest.close().unwrap();
}

/// Where the secret of a recipe comes from, and its value.
const VARIABLE: &str = "IMGFORGE_TEST_TOKEN";
const SECRET: &str = "correct horse battery staple";

#[test]
fn a_result_with_a_secret_where_no_file_is_is_not_kept() {
    let world = World::new("bios");
    let disk = world.path("disk.raw");
    let mut bytes = vec![0; 4 << 20];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&disk, bytes).unwrap();
    let recipe = format!(
        "install: {{import: {{image: {}}}}}\nsecrets: {{token: {{env: {VARIABLE}}}}}\n",
        path(&disk)
    );
    world.recipe("guarded", &recipe);
    let build = || {
        let mut build = world.command(&["build", "guarded", "--until", "install"]);
        build.env(VARIABLE, SECRET).output().unwrap()
    };
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    let at = 3 << 20;
    file.write_all_at(SECRET.as_bytes(), at).unwrap();
    not_kept(&world, "install", &build());
    // It is the secret, and nothing else.
    file.write_all_at(&[0; 64], at).unwrap();
    succeeds(&build());
    disk_of(&world, "install");
}

/// The build ended by the guard of the store, which has no result of the stage.
#[track_caller]
fn not_kept(world: &World, stage: &str, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("the secret `token` is in the result of the stage"),
        "{stderr}"
    );
    assert!(!stderr.contains(SECRET), "{stderr}");
    assert_eq!(entry_of(world, stage, "guarded"), None);
}

fn disk_of(world: &World, stage: &str) -> PathBuf {
    let entry = entry_of(world, stage, "");
    entry.unwrap().join("disk.qcow2")
}

/// The entry in the store that a stage made, of `image` if that is not empty.
fn entry_of(world: &World, stage: &str, image: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(world.path("state/store")).into_iter();
    let mut paths = entries.flatten().flatten().map(|entry| entry.path());
    paths.find(|entry| {
        let meta = std::fs::read(entry.join("meta.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&meta).is_ok_and(|meta| {
            meta["stage"] == stage && (image.is_empty() || meta["image"] == image)
        })
    })
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
        for end in [".png", ".log"] {
            let kept = |name: &&str| name.contains("-console") && name.ends_with(end);
            assert!(named.iter().any(kept), "{end}: {tail:#?}");
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
    wait_for("the clones", || {
        assert!(killed.try_wait().unwrap().is_none(), "no clones");
        speaks("a") && speaks("b")
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    succeeds(&world.run(&["gc"]));
    assert!(world.left_over().is_empty(), "{:?}", world.left_over());
}
