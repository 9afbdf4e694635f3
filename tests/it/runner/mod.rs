//! The runner for real, under dash and busybox, with files in place of disks and ports.

mod actions;
mod payload;

mod ports;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use imgforge::error::Result;
use imgforge::host::accel::Accel;
use imgforge::host::exec::{Program, find};
use imgforge::runner::{Job, Journal, Mode, Request, protocol};
use imgforge::steps::{Action, Files, Shell, Source, Step, When};
use imgforge::units::Span;

use crate::patience::{HANG, wait_for};

const SHELLS: [&str; 2] = ["dash", "busybox"];

/// A directory that looks like a guest to the runner.
struct Fake {
    dir: tempfile::TempDir,
    shell: &'static str,
    job: Job,
    /// How many seconds the runner waits for secrets.
    patience: u64,
}

impl Fake {
    fn new(shell: &'static str, mode: Mode, steps: &[Step]) -> Self {
        Self::with(shell, mode, steps, &[], &[])
    }

    fn with(
        shell: &'static str,
        mode: Mode,
        steps: &[Step],
        instance: &[Step],
        secrets: &[String],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vars = BTreeMap::from([("my-name".to_owned(), "it's $HOME".to_owned())]);
        let job = Job::prepare(&Request {
            mode,
            steps,
            instance,
            vars: &vars,
            secrets,
            root: dir.path(),
            accel: Accel::Kvm,
        })
        .unwrap();
        let fake = Fake {
            dir,
            shell,
            job,
            patience: HANG.as_secs(),
        };
        fake.file("sys/block/vda/serial", "another");
        fake.file("sys/block/vdb/serial", "imgforge-job");
        fake.file("sys/block/vdc/serial", "imgforge-log");
        fake.file("sys/class/tty/console/active", "tty0 ttyS0\n");
        fake.file("dev/ttyS0", "");
        fake.file(
            "root/etc/os-release",
            "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nVERSION_ID=24.04\n",
        );
        fake.file("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        fake.file("root/usr/lib/imgforge/runner", "");
        fake.file("root/etc/systemd/system/imgforge-start.service", "");
        for dir in [
            "systemd/system.conf.d",
            "systemd/system/a.service.d",
            "needrestart/conf.d",
        ] {
            fake.file(&format!("root/etc/{dir}/zz-imgforge.conf"), "");
        }
        for how in ["poweroff", "reboot"] {
            let left = fake.path("left");
            let script = format!(
                "#!/bin/sh\necho {how} >>{}\nkill -KILL $PPID\n",
                left.display()
            );
            let program = fake.file(&format!("root/sbin/{how}"), "");
            imgforge::host::exec::write_program(&program, &script).unwrap();
        }
        fake.port(1, "org.imgforge.0");
        fake.port(2, "org.imgforge.1");
        fake.job
            .write(&fake.path("dev/vdb"), &fake.path("dev/vdc"))
            .unwrap();
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn port(&self, number: u32, name: &str) {
        self.file(
            &format!("sys/class/virtio-ports/vport0p{number}/name"),
            name,
        );
        self.file(&format!("dev/vport0p{number}"), "");
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn program(&self, script: &Path) -> Program {
        let program = match self.shell {
            "busybox" => Program::new("busybox").arg("sh"),
            shell => Program::new(shell),
        };
        let path = match self.shell {
            "busybox" => {
                let bin = self.path("bin");
                if !bin.exists() {
                    fs::create_dir(&bin).unwrap();
                    let busybox = find("busybox").expect("busybox-static: `make deps` installs it");
                    Program::new("busybox")
                        .arg("--install")
                        .arg("-s")
                        .arg(&bin)
                        .run()
                        .unwrap();
                    assert!(busybox.exists());
                }
                format!("{}:/usr/bin:/bin", bin.display())
            }
            _ => std::env::var("PATH").unwrap(),
        };
        program
            .arg(script)
            .env("PATH", path)
            .env("IMGFORGE_SYS", self.path("sys"))
            .env("IMGFORGE_DEV", self.path("dev"))
            .env("IMGFORGE_RUN", self.path("run"))
            .env("IMGFORGE_ROOT", self.path("root"))
            .env("IMGFORGE_DISK_TRIES", "1")
            .env("IMGFORGE_SECRETS_WAIT", self.patience.to_string())
            .timeout(HANG)
    }

    /// One boot: memory file systems are empty, and the stand-in for the kernel ends the runner.
    fn boot(&self) -> Result<()> {
        if self.path("run").exists() {
            fs::remove_dir_all(self.path("run")).unwrap();
        }
        let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runner/guest/start.sh");
        self.program(&start).run()
    }

    fn journal(&self) -> Journal {
        Journal::read(&self.path("dev/vdc"), &self.job.nonce, self.job.count()).unwrap()
    }
}

fn shell(run: impl Into<String>) -> Step {
    Step::new(Action::Shell(Shell::Run(run.into())))
}

fn reboot() -> Step {
    Step::new(Action::Reboot)
}

fn when(distro: Option<&str>, release: Option<&str>) -> Option<When> {
    Some(When {
        distro: distro.map(Into::into),
        release: release.map(Into::into),
    })
}

#[test]
fn steps_run_in_order_once_and_leave_no_trace() {
    for name in SHELLS {
        let mut env = shell("echo \"$IMGFORGE_VAR_MY_NAME|$GREETING\"; echo two >>order");
        env.env.insert("GREETING".into(), "hello 'you'".into());
        let fake = Fake::new(name, Mode::Configure, &[shell("echo one >>order"), env]);
        assert!(fake.boot().is_err(), "the runner is killed at power-off");
        let journal = fake.journal();
        assert!(journal.complete(2), "{name}: {journal:?}");
        let times: Vec<_> = journal.times.values().collect();
        let in_order = times.is_sorted() && times.iter().all(|(began, ended)| began <= ended);
        assert!(times.len() == 2 && in_order, "{name}: {times:?}");
        assert_eq!(fake.text("root/order"), "one\ntwo\n");
        assert_eq!(fake.text("left"), "poweroff\n");
        assert_eq!(
            fake.text("dev/vport0p2").replace('\0', ""),
            "it's $HOME|hello 'you'\n"
        );
        let events: Vec<_> = fake
            .text("dev/vport0p1")
            .lines()
            .map(|l| protocol::parse(l).unwrap())
            .collect();
        assert_eq!(events.len(), 7, "{name}: {events:?}");
        assert!(
            fake.text("dev/ttyS0")
                .contains("imgforge: step 2 of 2: shell: echo")
        );
        assert!(!fake.path("root/usr/lib/imgforge").exists());
        assert!(
            !fake
                .path("root/etc/systemd/system/imgforge-start.service")
                .exists()
        );
        for dir in [
            "systemd/system.conf.d",
            "systemd/system/a.service.d",
            "needrestart",
        ] {
            assert!(!fake.path("root/etc").join(dir).exists(), "{dir}");
        }
        // Started once more by mistake, a finished job only switches off.
        assert!(fake.boot().is_err());
        assert_eq!(fake.text("root/order"), "one\ntwo\n");
        assert_eq!(fake.journal(), journal);
    }
}

#[test]
fn a_declared_reboot_continues_after_it() {
    for name in SHELLS {
        let steps = [shell("echo 1 >>order"), reboot(), shell("echo 3 >>order")];
        let fake = Fake::new(name, Mode::Configure, &steps);
        assert!(fake.boot().is_err());
        assert_eq!(
            (fake.text("left").as_str(), fake.journal().restarting),
            ("reboot\n", true)
        );
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert!(journal.complete(3), "{name}: {journal:?}");
        assert_eq!(
            (journal.boots, fake.text("root/order").as_str()),
            (2, "1\n3\n")
        );
    }
}

#[test]
fn a_step_that_was_cut_off_is_not_repeated() {
    for name in SHELLS {
        let steps = [
            shell("echo 1 >>order"),
            shell("echo 2 >>order; kill -KILL $PPID"),
        ];
        let fake = Fake::new(name, Mode::Configure, &steps);
        // The step's parent is the runner: what follows is as after a crash.
        assert!(fake.boot().is_err());
        assert_eq!(
            (fake.journal().open, fake.text("left").as_str()),
            (Some(2), "")
        );
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert_eq!(
            (journal.failure.as_deref(), journal.open),
            (Some("lost"), Some(2))
        );
        assert_eq!(journal.done, Some(125));
        assert_eq!(fake.text("root/order"), "1\n2\n");
        assert!(fake.path("root/usr/lib/imgforge").exists());
    }
}

#[test]
fn a_failing_step_ends_the_job_with_its_code_after_its_retries() {
    for name in SHELLS {
        let twice = Step {
            retries: 1,
            ..shell("echo try >>order; exit 7")
        };
        let fake = Fake::new(name, Mode::Configure, &[twice, shell("echo never >>order")]);
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert_eq!(
            (journal.failed_step(), journal.done),
            (Some((1, 7)), Some(7)),
            "{name}"
        );
        assert!(!journal.complete(2));
        assert_eq!(fake.text("root/order"), "try\ntry\n");
    }
}

#[test]
fn a_guest_without_a_package_manager_fails_its_steps() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (action, name) in [("upgrade", "dash"), ("repository", "busybox")] {
        let step = tempfile::tempdir().unwrap();
        fs::write(step.path().join("repository.sh"), "uri=u id=i").unwrap();
        let script = format!(
            ". {0}/runner/guest/lib/packages.sh; . {0}/steps/{action}.sh; echo went on",
            folder.display()
        );
        let program = match name {
            "busybox" => Program::new(name).arg("sh"),
            shell => Program::new(shell),
        };
        let program = program.args(["-euc", &script]).env("PATH", "/nonexistent");
        let error = program
            .env("RUN", step.path())
            .env("STEP", step.path())
            .text();
        let text = error.unwrap_err().render();
        assert!(text.contains("no package manager"), "{action}: {text}");
    }
}

#[test]
fn a_step_and_its_children_end_with_its_time() {
    let ended_after = |name, seconds| {
        let slow = Step {
            timeout: Some(Span::seconds(seconds)),
            ..shell("sleep infinity & echo $! >pid; trap '' TERM; wait; sleep infinity")
        };
        let fake = Fake::new(name, Mode::Configure, &[slow]);
        assert!(fake.boot().is_err());
        assert_eq!(fake.journal().failed_step(), Some((1, 124)), "{name}");
        fake.text("root/pid").trim().to_owned()
    };
    for name in SHELLS {
        // A time in which the step can begin, on this host.
        let mut times = (0..8).map(|doubled| ended_after(name, 1 << doubled));
        let pid = times.find(|pid| !pid.is_empty()).unwrap();
        wait_for("the child's end", || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }
}

#[test]
fn a_check_runs_every_command_and_tells_what_the_gate_compares() {
    for name in SHELLS {
        let fake = Fake::new(name, Mode::Check, &[shell("exit 3"), shell("echo fine")]);
        fake.file(
            "root/etc/ssh/ssh_host_ed25519_key.pub",
            "ssh-ed25519 AAAA root@x\n",
        );
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert_eq!(
            journal.steps,
            BTreeMap::from([(1, Some(3)), (2, Some(0))]),
            "{name}"
        );
        assert_eq!(journal.done, Some(3));
        let fact = |name: &str| journal.facts(name).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(fact("machine-id"), ["0123456789abcdef0123456789abcdef"]);
        assert_eq!(fact("host-key")[0].len(), 64);
        assert_eq!(fact("state"), ["unknown"]);
        assert!(
            fake.path("root/usr/lib/imgforge").exists(),
            "clones are thrown away as they are"
        );
    }
}

#[test]
fn without_ports_the_journal_and_the_console_are_enough() {
    for name in SHELLS {
        let fake = Fake::new(name, Mode::Configure, &[shell("echo out of the step")]);
        fs::remove_dir_all(fake.path("sys/class/virtio-ports")).unwrap();
        assert!(fake.boot().is_err());
        assert!(fake.journal().complete(1), "{name}");
        assert!(fake.text("dev/ttyS0").contains("out of the step"));
    }
}
