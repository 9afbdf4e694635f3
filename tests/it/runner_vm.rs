//! The runner in a guest, driven by the host's half: the toy boots, its init starts the runner.

use std::collections::BTreeMap;
use std::time::Duration;

use imgforge::host::accel::Accel;
use imgforge::host::qemu_img::DiskFormat;
use imgforge::hypervisor::Nic;
use imgforge::machine::Firmware;
use imgforge::runner::drive::{Finished, Machine, drive};
use imgforge::runner::{End, Job, Limits, Mode, Request};
use imgforge::stage::configure::run_job;
use imgforge::steps::{Action, Shell, Step};
use imgforge::store::ledger::Ledger;
use imgforge::ui::{Event, Reporter, Ui};
use imgforge::units::Size;

use crate::patience::HANG;
use crate::{slots, toy};

/// A guest's last act, its job and the lines that people saw.
struct Run {
    result: imgforge::error::Result<Finished>,
    lines: String,
    console: String,
}

#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<String>>);

impl Reporter for Lines {
    fn event(&self, event: &Event) {
        let text = match event {
            Event::Line { text, .. } => text,
            Event::Step { name, .. } => name,
            _ => return,
        };
        *self.0.lock().unwrap() += &format!("{text}\n");
    }
}

fn run(steps: &[Step], secrets: &[(&str, &str)], limits: Option<Limits>) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let connection = slots::connect(None, &ledger).unwrap();
    let disk = dir.path().join("disk.raw");
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let secrets: BTreeMap<String, Vec<u8>> = secrets
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    let names: Vec<String> = secrets.keys().cloned().collect();
    let job = Job::prepare(&Request {
        mode: Mode::Configure,
        steps,
        instance: &[],
        vars: &BTreeMap::new(),
        secrets: &names,
        root: dir.path(),
        accel: Accel::Tcg,
    })
    .unwrap();
    let machine = Machine {
        arch: imgforge::machine::Arch::default(),
        connection: &connection,
        ledger: &ledger,
        accel: Accel::Tcg,
        name: "toy".into(),
        disk,
        format: DiskFormat::Raw,
        boot: toy::boot(dir.path(), "runner"),
        memory: Size::mib(256),
        cpus: 1,
        firmware: Firmware::Bios,
        nics: Vec::<Nic>::new(),
        more: vec![],
        passphrase: None,
        relay: None,
        scratch: dir.path(),
        logs: dir.path(),
    };
    let seen = Lines::default();
    let ui = Ui::new(seen.clone()).stage("toy", "configure");
    let result = match limits {
        Some(limits) => drive(&machine, &job, &ui, "", &secrets, limits),
        None => run_job(&machine, &job, &secrets, &ui),
    };
    let console = std::fs::read(dir.path().join("toy-console.log")).unwrap();
    Run {
        result,
        lines: seen.0.lock().unwrap().clone(),
        console: String::from_utf8_lossy(&console).into_owned(),
    }
}

fn shell(run: &str) -> Step {
    Step::new(Action::Shell(Shell::Run(run.to_owned())))
}

#[test]
#[ignore = "vm: src/console src/runner src/hypervisor"]
fn a_job_with_a_reboot_and_a_secret_is_done_and_the_secret_is_never_seen() {
    let steps = [
        shell("echo first-output; cat $IMGFORGE_SECRET_TOKEN; grep -c ramfs /proc/mounts"),
        Step::new(Action::Reboot),
        shell("cat $IMGFORGE_SECRET_TOKEN >/dev/ttyS0; echo after-the-reboot"),
    ];
    let run = run(&steps, &[("token", "correct-horse-battery")], None);
    let finished = run.result.unwrap();
    assert_eq!(finished.journal.boots, 2);
    assert!(finished.journal.complete(3));
    for line in [
        "1/3 shell: echo first-output",
        "\nfirst-output\n",
        "2/3 reboot",
        "\nafter-the-reboot\n",
    ] {
        assert!(run.lines.contains(line), "{line}: {}", run.lines);
    }
    assert!(run.lines.contains("***"), "{}", run.lines);
    assert!(!run.lines.contains("battery") && !run.console.contains("battery"));
}

#[test]
#[ignore = "vm: src/console src/runner src/hypervisor"]
fn a_failed_step_is_named_with_its_code_and_its_last_lines() {
    let run = run(
        &[shell("true"), shell("echo the-reason >&2; exit 42")],
        &[],
        None,
    );
    let error = run.result.unwrap_err().render();
    assert!(
        error.starts_with(
            "error: step 2/2 (shell: echo the-reason >&2; exit 42) failed with exit code 42\n"
        ),
        "{error}"
    );
    assert!(error.contains("\n  | the-reason\n"), "{error}");
    assert!(error.contains("toy-console.log"), "{error}");
}

#[test]
#[ignore = "vm: src/console src/runner src/hypervisor"]
fn switching_off_or_restarting_inside_a_step_is_a_failure() {
    for (how, sentence) in [
        (
            "poweroff -f",
            "error: the guest switched itself off in step 1/1 (shell: poweroff -f) without the runner's final report\n",
        ),
        (
            "reboot -f",
            "error: the guest restarted itself in step 1/1 (shell: reboot -f)\n",
        ),
    ] {
        let error = run(&[shell(how)], &[], None).result.unwrap_err().render();
        assert!(error.starts_with(sentence), "{error}");
    }
}

#[test]
#[ignore = "vm: src/console src/runner src/hypervisor"]
fn a_panic_is_seen() {
    let run = run(
        &[shell("echo c >/proc/sysrq-trigger; sleep 100")],
        &[],
        None,
    );
    let error = run.result.unwrap_err().render();
    assert!(
        error.starts_with("error: the guest's kernel panicked in step 1/1"),
        "{error}"
    );
}

#[test]
#[ignore = "vm: src/console src/runner"]
fn a_killed_runner_is_a_hang() {
    let killed_after = |stall: Duration| {
        let limits = Limits {
            boot: HANG,
            device: HANG,
            stall,
            slack: HANG,
            finish: HANG,
        };
        let run = run(&[shell("kill -KILL $PPID")], &[], Some(limits));
        let finished = run.result.unwrap();
        assert_eq!(finished.end, End::Stalled(stall));
        finished
    };
    // A slow host may be silent for so long before the step begins.
    let limits = (0..6).map(|doubled| Duration::from_secs(15 << doubled));
    let begun = |finished: &Finished| finished.journal.open.is_some();
    let finished = limits.map(killed_after).find(begun).unwrap();
    assert_eq!(finished.journal.open, Some(1));
    assert!(finished.screenshot.is_some());
}
