//! Installations for real: the toy installer through the real virt-install and libvirt.

mod ends;
mod foreign;
mod mistakes;
mod relay;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgforge::host::exec::Program;
use imgforge::machine::Arch;

use crate::phony::Phony;
use crate::support::{Run as _, Said, World};
use crate::{slots, toy};

/// A recipe repository whose only image is installed by the toy, alone on this host.
struct Installation {
    world: World,
    /// What was in virt-install's directory before.
    boot: Vec<PathBuf>,
    _alone: fs::File,
}

impl Deref for Installation {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

const ANSWERS: &str = "\
d-i toy/admin string {{ admin }}
d-i toy/token string {{ imgforge_secret_enrol }}
d-i preseed/late_command string true && {{ imgforge_sentinel }}
";

const TOKEN: &str = "correct-horse-battery";

impl Installation {
    fn new(mode: &str, more: &str) -> Self {
        Installation::on(Arch::X86_64, mode, more)
    }

    /// As [`Installation::new`], on a machine of this architecture.
    fn on(arch: Arch, mode: &str, more: &str) -> Self {
        let alone = slots::alone("installation");
        let world = World::with_guests("install").with(&["--accel", "tcg"]);
        let world = world.with_env("TOY_TOKEN", TOKEN);
        fs::create_dir(world.path("media")).unwrap();
        let disk = disk(arch, world.dir.path());
        let (kernel, _) = toy::installer(arch, &world.path("media"), &disk);
        let arch = arch.as_str();
        std::os::unix::fs::symlink(kernel, world.path("media/linux")).unwrap();
        world.write("preseed/toy.cfg", ANSWERS);
        let recipe = format!(
            "vars: {{admin: ops}}
secrets: {{enrol: {{env: TOY_TOKEN}}}}
machine: {{disk: 1GiB, memory: 512MiB, cpus: 1, arch: {arch}}}
install:
  virt-install:
    os: debian13
    media: {{boot: {{kernel: media/linux, initrd: media/installer.img}}}}
    answers: preseed/toy.cfg
    kernel-args: [quiet, panic=0, no_timer_check, toy=install-{mode}]
{more}"
        );
        world.image("toy", &recipe);
        Installation {
            world,
            boot: entries("/var/lib/libvirt/boot"),
            _alone: alone,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.showing("json", args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn install(&self) -> Said {
        self.install_with(&[])
    }

    /// Installs with more in the environment.
    fn install_with(&self, env: &[(&str, &str)]) -> Said {
        let mut command = self.command(&["build", "toy", "--until", "install"]);
        command.envs(env.iter().copied()).said()
    }

    /// The only entry of the store that is an installation.
    fn facts(&self) -> serde_json::Value {
        let metas = entries(self.path("state/store")).into_iter().map(|entry| {
            let text = fs::read(entry.join("meta.json")).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()
        });
        let mut facts = metas.map(|meta| meta["facts"]["install"].clone());
        facts.find(|facts| !facts.is_null()).unwrap()
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
        assert_eq!(self.left_over(), [""; 0]);
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

/// The gzipped disk that the toy installs: one partition with the few files of a Debian.
fn disk(arch: Arch, dir: &Path) -> Vec<u8> {
    let raw = dir.join("disk.raw");
    fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
    Program::new("sfdisk")
        .arg("-q")
        .arg(&raw)
        .input("label: dos\nstart=2048, type=83\n")
        .run()
        .unwrap();
    let phony = Phony::debian().on(arch);
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

/// A failed stage whose error says all of this.
#[track_caller]
fn failed(said: Said, words: &[&str]) {
    let said = said.exits(1);
    let last = events(&said).pop().unwrap().to_string();
    for words in words
        .iter()
        .chain(&["install-console.log", " build toy --until install"])
    {
        assert!(last.contains(words), "`{words}` is not in {last}");
    }
    assert!(!said.err.contains(TOKEN), "the secret is in {}", said.err);
    assert!(!said.err.contains('\u{1b}'));
}

/// Of lines that may be others' as well.
fn events(said: &Said) -> Vec<serde_json::Value> {
    let lines = said.err.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
