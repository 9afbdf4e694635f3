//! Installations for real: the toy installer through the real virt-install and libvirt.

use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imgforge::host::exec::Program;

use crate::phony::Phony;
use crate::toy;

/// A recipe repository whose only image is installed by the toy.
struct World {
    dir: tempfile::TempDir,
    /// What was in virt-install's directory before; one installation runs at a time.
    boot: Vec<PathBuf>,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

const ANSWERS: &str = "\
d-i toy/admin string {{ admin }}
d-i toy/token string {{ imgforge_secret_enrol }}
d-i preseed/late_command string true && {{ imgforge_sentinel }}
";

const TOKEN: &str = "correct-horse-battery";

impl World {
    fn new(mode: &str, more: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("imgforge-install-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let world = World {
            dir,
            _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
            boot: entries("/var/lib/libvirt/boot"),
        };
        for below in ["recipes", "preseed", "media"] {
            fs::create_dir(world.path(below)).unwrap();
        }
        let (kernel, _) = toy::installer(&world.path("media"), &disk(world.dir.path()));
        std::os::unix::fs::symlink(kernel, world.path("media/linux")).unwrap();
        world.write("imgforge.yaml", "state: state\n");
        world.write("preseed/toy.cfg", ANSWERS);
        world.write(
            "recipes/toy.yaml",
            &format!(
                "name: toy
vars: {{admin: ops}}
secrets: {{enrol: {{env: TOY_TOKEN}}}}
machine: {{disk: 1GiB, memory: 256MiB, cpus: 1}}
install:
  virt-install:
    os: debian13
    media: {{boot: {{kernel: media/linux, initrd: media/installer.img}}}}
    answers: preseed/toy.cfg
    kernel-args: [quiet, panic=0, toy=install-{mode}]
{more}"
            ),
        );
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgforge"));
        command.arg("-C").arg(self.dir.path()).args(args);
        command.args(["--progress", "json", "--accel", "tcg"]);
        command.env("TOY_TOKEN", TOKEN).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn install(&self) -> Said {
        Said::of(
            &self
                .command(&["build", "toy", "--until", "install"])
                .output()
                .unwrap(),
        )
    }

    fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.path("state/logs/toy").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Nothing is left: no process, no socket, no scratch, no boot file, nothing in the ledger.
    #[track_caller]
    fn is_clean(&self) {
        let state = self.path("state");
        assert_eq!(entries(state.join("ledger")), Vec::<PathBuf>::new());
        let drafts = entries(state.join("store")).into_iter().filter(|path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(".draft-")
        });
        assert_eq!(drafts.count(), 0);
        let here = self.dir.path().to_str().unwrap();
        assert_eq!(processes(here), [""; 0]);
        assert_eq!(entries("/var/lib/libvirt/boot"), self.boot);
        let holds = Program::new("grep")
            .args(["-rlF", TOKEN])
            .arg(&state)
            .text();
        assert!(holds.is_err(), "the secret is in {}", holds.unwrap());
    }
}

/// What is in a directory that may not be there.
fn entries(dir: impl AsRef<Path>) -> Vec<PathBuf> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Processes whose command line names `what`.
fn processes(what: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(what).then_some(line)
    })
    .collect()
}

/// The gzipped disk that the toy installs: one partition with the few files of a Debian.
fn disk(dir: &Path) -> Vec<u8> {
    let raw = dir.join("disk.raw");
    fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
    Program::new("sfdisk")
        .arg("-q")
        .arg(&raw)
        .input("label: dos\nstart=2048, type=83\n")
        .run()
        .unwrap();
    let phony = Phony::debian();
    phony.file("var/log/installer/syslog", "what the installer did\n");
    Program::new("mke2fs")
        .args([
            "-q",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-E",
            "offset=1048576",
            "-d",
        ])
        .arg(phony.path())
        .args([raw.as_os_str(), "16128".as_ref()])
        .run()
        .unwrap();
    let gzip = Program::new("gzip")
        .args(["-1c"])
        .arg(&raw)
        .output()
        .unwrap();
    fs::remove_file(raw).unwrap();
    gzip
}

/// What a build said.
struct Said {
    code: Option<i32>,
    all: String,
    events: Vec<serde_json::Value>,
}

impl Said {
    fn of(output: &Output) -> Self {
        let all = String::from_utf8_lossy(&output.stderr).into_owned();
        let events = all
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Said {
            code: output.status.code(),
            all,
            events,
        }
    }

    /// A failed stage whose error says all of this.
    #[track_caller]
    fn failed(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.all);
        let last = self.events.last().unwrap().to_string();
        for words in words
            .iter()
            .chain(&["install-console.log", "imgforge build toy"])
        {
            assert!(last.contains(words), "`{words}` is not in {last}");
        }
        assert!(!self.all.contains(TOKEN), "the secret is in {}", self.all);
        assert!(!self.all.contains('\u{1b}'));
    }

    fn steps(&self) -> Vec<&str> {
        let steps = self.events.iter().filter(|event| event["event"] == "step");
        steps.filter_map(|event| event["name"].as_str()).collect()
    }
}

#[test]
fn an_installation_that_proves_itself_succeeds() {
    let world = World::new("good", "");
    let said = world.install();
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(
        said.steps().contains(&"Installing the toy"),
        "{:?}",
        said.steps()
    );
    // The appliance that looks at the disk has a progress of its own, after this one.
    let named = |name: &str| {
        said.events
            .iter()
            .position(|event| event["name"] == name)
            .unwrap()
    };
    let during = &said.events[named("Installing the toy")..named("checking the new disk")];
    let shares = during.iter().filter(|event| event["event"] == "progress");
    assert!(
        shares
            .filter_map(|event| event["done"].as_u64())
            .any(|share| share >= 50),
        "{}",
        said.all
    );
    let console = world.log("install-console.log");
    assert!(console.contains("toy: token *** for ops"), "{console}");
    assert!(
        console.contains("toy: the late command worked"),
        "{console}"
    );
    assert!(said.all.contains("does not know debian13"), "{}", said.all);
    world.is_clean();
    let entry = fs::read_dir(world.path("state/store"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(entry.join("meta.json")).unwrap()).unwrap();
    let facts = &meta["facts"]["install"];
    assert_eq!(facts["expand"], "/dev/sda1");
    assert_eq!(facts["product"], "Debian GNU/Linux 13 (trixie)");
    // Not again, and not with another time limit either.
    let again = world.install();
    assert!(again.code == Some(0) && again.events.iter().any(|event| event["event"] == "cached"));
}

#[test]
fn a_guest_that_switches_off_without_proof_has_failed() {
    let world = World::new("half", "");
    let said = world.install();
    said.failed(&[
        "the installer switched the guest off without reporting success",
        "it was at: Installing the toy",
        "{{ imgforge_sentinel }}",
        "toy: token *** for ops",
    ]);
    world.is_clean();
}

/// The other ways to fail, one after the other.
#[test]
#[ignore = "vm"]
fn each_bad_end_is_told_with_its_evidence_and_leaves_nothing() {
    let short = "    stall: 5s\n    timeout: 40s\n";
    for (mode, words) in [
        (
            "reboot",
            &["the installer restarted the guest without reporting success"][..],
        ),
        (
            "panic",
            &[
                "the installer's kernel panicked",
                "Call Trace:",
                "install-screen.png",
            ],
        ),
        (
            "hang",
            &[
                "the installer hangs: no disk, network or console activity for 30.0 s",
                "6 times",
                "raise `stall:`",
                "install-screen.png",
            ],
        ),
        ("clock", &["the installer hangs", "install-screen.png"]),
        (
            "prompt",
            &[
                "waits for a human",
                "[!!] Partition disks",
                "default=1>",
                "install-screen.png",
                "answer it in the answer file",
            ],
        ),
        ("lie", &["another installation's key", "deadbeef"]),
        ("claim", &["its sentinel is not on the disk"]),
    ] {
        let world = World::new(mode, short);
        let said = world.install();
        said.failed(words);
        let pictured = words.contains(&"install-screen.png");
        let screen = world.path("state/logs/toy/install-screen.png");
        assert!(screen.exists() || !pictured, "{mode}");
        world.is_clean();
    }
}

#[test]
#[ignore = "vm"]
fn a_flooding_installer_fills_neither_disk_nor_memory_and_ends() {
    let world = World::new("flood", "    stall: 5s\n    timeout: 8s\n");
    let said = world.install();
    // What repeats itself is no sign of life, however much there is of it.
    assert_eq!(
        said.code,
        Some(1),
        "{}",
        &said.all[said.all.len().saturating_sub(4000)..]
    );
    let last = said.events.last().unwrap().to_string();
    assert!(
        last.contains("hangs") || last.contains("did not end within 48.0 s"),
        "{last}"
    );
    let log = fs::metadata(world.path("state/logs/toy/install-console.log")).unwrap();
    assert!(log.len() <= 65 << 20, "{}", log.len());
    world.is_clean();
}

#[test]
#[ignore = "vm"]
fn a_restart_after_the_proof_is_an_end_as_well_also_under_uefi() {
    let world = World::new("good-reboot", "");
    let recipe = fs::read_to_string(world.path("recipes/toy.yaml")).unwrap();
    world.write(
        "recipes/toy.yaml",
        &recipe.replace("disk: 1GiB", "disk: 1GiB, firmware: uefi"),
    );
    let said = world.install();
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(!world.path("state/logs/toy/install-screen.png").exists());
    world.is_clean();
}

/// Waits for something that a running build does.
#[track_caller]
fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(180);
    while !ready() {
        assert!(Instant::now() < limit, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().to_string();
    Program::new("kill").args(["-s", name, &pid]).run().unwrap();
}

#[test]
#[ignore = "vm"]
fn an_interrupted_installation_leaves_neither_domain_nor_virt_install() {
    let world = World::new("hang", "");
    let build = ["build", "toy", "--until", "install"];
    let console = world.path("state/logs/toy/install-console.log");
    let runs = || world.log("install-console.log").contains("toy: token");

    let mut child = world.command(&build).spawn().unwrap();
    wait_for("the guest's start", runs);
    let mut attached = world.command(&["attach", "toy"]).spawn().unwrap();
    let mut seen = std::io::BufReader::new(attached.stdout.take().unwrap()).lines();
    wait_for("the console", || {
        seen.next().unwrap().unwrap().contains("toy: token ***")
    });
    signal("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(attached.wait().unwrap().success());
    world.is_clean();

    fs::remove_file(&console).unwrap();
    let mut child = world.command(&build).spawn().unwrap();
    wait_for("the guest's start", runs);
    signal("KILL", &child);
    child.wait().unwrap();
    let gc = world.command(&["gc"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stderr)
    );
    world.is_clean();

    let here = world.dir.path().to_str().unwrap().to_owned();
    let starts = || {
        processes(&here)
            .iter()
            .any(|line| line.contains("virt-install --connect"))
    };
    for (name, code) in [("INT", Some(130)), ("KILL", None)] {
        let mut child = world.command(&build).spawn().unwrap();
        wait_for("virt-install", starts);
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), code);
        // It gets an interrupt when its parent dies, and removes its own files.
        wait_for("the end of virt-install", || !starts());
        let gc = world.command(&["gc"]).output().unwrap();
        assert!(
            gc.status.success(),
            "{}",
            String::from_utf8_lossy(&gc.stderr)
        );
        world.is_clean();
    }
}

/// What a new user gets wrong, and what the error says to do.
#[test]
fn mistakes_are_told_with_the_next_step() {
    let world = World::new("good", "");
    let recipe = fs::read_to_string(world.path("recipes/toy.yaml")).unwrap();
    let boot = "{boot: {kernel: media/linux, initrd: media/installer.img}}";
    fs::create_dir(world.path("empty")).unwrap();
    for (media, code, words) in [
        (
            "{location: empty}",
            1,
            &["there is no install tree", "media: {iso: …}"][..],
        ),
        (
            "{location: 'http://127.0.0.1:9/debian'}",
            1,
            &["install tree"],
        ),
        ("{iso: {path: media/debian.iso}}", 2, &["1 problem in"]),
    ] {
        world.write("recipes/toy.yaml", &recipe.replace(boot, media));
        let said = world.install();
        assert_eq!(said.code, Some(code), "{media}: {}", said.all);
        for words in words {
            assert!(
                said.all.contains(words),
                "{media}: `{words}` is not in {}",
                said.all
            );
        }
        world.is_clean();
    }
    world.write("recipes/toy.yaml", &recipe);
    let secretless = world
        .command(&["build", "toy"])
        .env_remove("TOY_TOKEN")
        .output()
        .unwrap();
    let said = Said::of(&secretless);
    assert_eq!(said.code, Some(2), "{}", said.all);
    assert!(said.all.contains("TOY_TOKEN"), "{}", said.all);
}
