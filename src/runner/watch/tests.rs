//! Tests with a guest that says what it is told to.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::host::accel::Accel;
use crate::recipe::types::{Action, Step};
use crate::runner::{Mode, Request};
use crate::ui::{Event as UiEvent, Reporter, Ui};

/// A guest that says what it is told to, then nothing.
#[derive(Default)]
struct Script {
    events: RefCell<VecDeque<DomainEvent>>,
    sent: RefCell<Vec<String>>,
}

impl Script {
    fn says(&self, port: &str, data: impl AsRef<[u8]>) {
        let (name, data) = (port.to_owned(), data.as_ref().to_vec());
        self.events.borrow_mut().push_back(match port {
            "console" => DomainEvent::Console(data),
            _ => DomainEvent::Channel { name, data },
        });
    }

    fn ends(&self, outcome: Outcome) {
        self.events
            .borrow_mut()
            .push_back(DomainEvent::Ended(outcome));
    }
}

impl Guest for Script {
    fn next_event(&self, _: Duration) -> Result<Option<DomainEvent>> {
        Ok(self.events.borrow_mut().pop_front())
    }

    fn send(&self, _: &str, data: &[u8]) -> Result<()> {
        self.sent
            .borrow_mut()
            .push(String::from_utf8_lossy(data).into_owned());
        Ok(())
    }

    fn type_in(&self, data: &[u8]) -> Result<()> {
        self.send("console", data)
    }

    fn counters(&self) -> Result<Counters> {
        Ok(Counters::default())
    }

    fn screenshot(&self, _: &Path) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Seen(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Reporter for Seen {
    fn event(&self, event: &UiEvent) {
        if let UiEvent::Line { text, .. } | UiEvent::Step { name: text, .. } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

fn job(secrets: &[String]) -> Job {
    let reboot = Step {
        timeout: Some(crate::units::Span::seconds(0)),
        ..Step::named("first", Action::Reboot)
    };
    let second = Step {
        name: Some("second".into()),
        ..reboot.clone()
    };
    Job::prepare(&Request {
        mode: Mode::Configure,
        steps: &[reboot, second],
        instance: &[],
        vars: &BTreeMap::new(),
        secrets,
        root: Path::new("/"),
        accel: Accel::Kvm,
    })
    .unwrap()
}

const LONG: Duration = Duration::from_secs(3600);

fn limits() -> Limits {
    Limits {
        device: LONG,
        boot: LONG,
        stall: LONG,
        slack: LONG,
        finish: LONG,
    }
}

fn follow(
    script: &Script,
    job: &Job,
    secrets: &BTreeMap<String, Vec<u8>>,
    limits: Limits,
) -> (End, Vec<String>, u64) {
    let seen = Seen::default();
    let ui = Ui::new(seen.clone()).stage("image", "configure");
    let mut session = Session::new(job, &ui, "", secrets, limits);
    let end = session.run(script).unwrap();
    let breaches = session.breaches().1;
    (end, std::mem::take(&mut seen.0.lock().unwrap()), breaches)
}

#[test]
fn steps_and_lines_are_forwarded_and_secrets_masked() {
    let secrets = BTreeMap::from([("token".to_owned(), b"hunter2".to_vec())]);
    let (job, script) = (job(&["token".to_owned()]), Script::default());
    script.says(
        EVENTS_PORT,
        format!("boot 1\nhello {}\nsecrets\n", job.nonce),
    );
    script.says(EVENTS_PORT, "step 1 begin\n");
    script.says(OUTPUT_PORT, "the token is hun");
    script.says(OUTPUT_PORT, "ter2!\n");
    script.says(
        "console",
        "imgforge: not twice\r\n\u{1b}[1mkernel\u{1b}[0m\r\n",
    );
    script.ends(Outcome::ShutDown);
    let (end, seen, breaches) = follow(&script, &job, &secrets, limits());
    assert_eq!((end, breaches), (End::Ended(Outcome::ShutDown), 0));
    assert_eq!(seen, ["1/2 first", "the token is ***!", "kernel"]);
    assert_eq!(
        *script.sent.borrow(),
        ["secret token aHVudGVyMg==\nsecrets-end\n"]
    );
}

#[test]
fn a_guest_that_lies_gets_no_secrets_and_starts_no_step() {
    let secrets = BTreeMap::from([("token".to_owned(), b"hunter2".to_vec())]);
    let (job, script) = (job(&["token".to_owned()]), Script::default());
    script.says(
        EVENTS_PORT,
        "secrets\nhello another\nsecrets\nstep 1 begin\ndone 0\n",
    );
    script.says(
        EVENTS_PORT,
        format!(
            "hello {}\nstep 9 begin\nstep 0 begin\nstep 2 begin\nstep 1 begin\n",
            job.nonce
        ),
    );
    script.ends(Outcome::ShutDown);
    let (_, seen, breaches) = follow(&script, &job, &secrets, limits());
    assert_eq!(seen, ["2/2 second"]);
    assert_eq!(breaches, 8);
    assert!(script.sent.borrow().is_empty());
}

#[test]
fn a_flood_is_cut_and_said_once() {
    let (job, script) = (job(&[]), Script::default());
    let lines = "x".repeat(1023) + "\n";
    let chunk = lines.repeat(1024);
    for _ in 0..70 {
        script.says(OUTPUT_PORT, &chunk);
    }
    script.ends(Outcome::ShutDown);
    let (_, seen, _) = follow(&script, &job, &BTreeMap::new(), limits());
    assert_eq!(seen.len() as u64, SHOWN / 1024 + 1);
    assert!(seen.last().unwrap().contains("the rest is not shown"));
}

#[test]
fn every_phase_has_a_limit() {
    let none = Duration::ZERO;
    let (mut job, script) = (job(&[]), Script::default());
    let end = |limits| follow(&script, &job, &BTreeMap::new(), limits).0;
    assert_eq!(
        end(Limits {
            boot: none,
            ..limits()
        }),
        End::NoRunner(none)
    );
    assert_eq!(
        end(Limits {
            stall: none,
            ..limits()
        }),
        End::Stalled(none)
    );
    let hello = format!("hello {}\n", job.nonce);
    script.says(EVENTS_PORT, &hello);
    assert_eq!(
        end(Limits {
            finish: none,
            ..limits()
        }),
        End::NoPowerOff(none)
    );
    job.steps[0].limit = none;
    let begun = Script::default();
    begun.says(EVENTS_PORT, hello + "step 1 begin\n");
    let limits = Limits {
        slack: none,
        ..limits()
    };
    assert_eq!(
        follow(&begun, &job, &BTreeMap::new(), limits).0,
        End::StepTimeout(1, none)
    );
}

#[test]
fn a_panicked_kernel_is_heard_on_the_console() {
    let (job, script) = (job(&[]), Script::default());
    script.says("console", "[ 1.0] Kernel panic - not syncing: no init\n");
    script.ends(Outcome::Crashed);
    assert_eq!(
        follow(&script, &job, &BTreeMap::new(), limits()).0,
        End::Panicked
    );
}

#[test]
fn the_passphrase_of_an_encrypted_disk_is_typed_and_never_shown() {
    let job = job(&[]);
    let script = Script::default();
    script.says("console", "Please unlock disk vda3_crypt: ");
    script.says("console", "***\ncryptsetup: set up, open sesame\n");
    script.ends(Outcome::ShutDown);
    let seen = Seen::default();
    let ui = Ui::new(seen.clone()).stage("image", "configure");
    let secrets = BTreeMap::new();
    let mut session = Session::new(&job, &ui, "", &secrets, limits());
    session.unlock_with(&Key::new("open sesame"));
    session.run(&script).unwrap();
    assert_eq!(*script.sent.borrow(), ["open sesame\n"]);
    let shown = seen.0.lock().unwrap().join("\n");
    assert!(
        shown.contains("cryptsetup: set up") && !shown.contains("sesame"),
        "{shown}"
    );
}

#[test]
fn a_question_that_nobody_answers_ends_the_boot() {
    for asked in ["Please unlock disk vda3_crypt: ", "(initramfs) "] {
        let job = job(&[]);
        let script = Script::default();
        script.says("console", asked);
        let (end, ..) = follow(&script, &job, &BTreeMap::new(), limits());
        assert!(matches!(end, End::DeadEnd(_)), "{asked}: {end:?}");
    }
}

#[test]
fn a_device_is_late_only_while_a_limit_that_nobody_could_lengthen_is_over() {
    let late = |device| {
        let (job, script) = (job(&[]), Script::default());
        script.says("console", "[ TIME ] Timed out waiting for device x.\n");
        script.ends(Outcome::ShutDown);
        let (ui, none) = (
            Ui::new(Seen::default()).stage("image", "check"),
            BTreeMap::new(),
        );
        let mut session = Session::new(&job, &ui, "", &none, Limits { device, ..limits() });
        session.run(&script).unwrap();
        session.late()
    };
    assert!(late(LONG));
    assert!(!late(Duration::ZERO));
}
