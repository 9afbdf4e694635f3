//! Tests with a guest that says what it is told to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::*;
use crate::console::SHOWN;
use crate::host::accel::Accel;
use crate::hypervisor::{Counters, DomainEvent};
use crate::runner::{Mode, OUTPUT_PORT, Request};
use crate::steps::{Action, Step};
use crate::ui::{Event as UiEvent, Reporter, Ui};

/// A guest that says what it is told to, when it is told to, then nothing. Its clock is its own.
struct Script {
    events: RefCell<VecDeque<(Duration, DomainEvent)>>,
    sent: RefCell<Vec<String>>,
    /// When what is added next happens.
    at: Cell<Duration>,
    began: Instant,
    clock: Cell<Duration>,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            events: RefCell::default(),
            sent: RefCell::default(),
            at: Cell::default(),
            began: Instant::now(),
            clock: Cell::default(),
        }
    }
}

impl Script {
    fn says(&self, port: &str, data: impl AsRef<[u8]>) {
        let (name, data) = (port.to_owned(), data.as_ref().to_vec());
        self.does(match port {
            "console" => DomainEvent::Console(data),
            _ => DomainEvent::Channel { name, data },
        });
    }

    fn ends(&self, outcome: Outcome) {
        self.does(DomainEvent::Ended(outcome));
    }

    fn does(&self, event: DomainEvent) {
        self.events.borrow_mut().push_back((self.at.get(), event));
    }

    fn waits(&self, time: Duration) {
        self.at.set(self.at.get() + time);
    }
}

impl Guest for Script {
    fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>> {
        let (mut events, now) = (self.events.borrow_mut(), self.clock.get());
        let due = events.pop_front_if(|(at, _)| *at <= now);
        self.clock
            .set(now + due.as_ref().map_or(timeout, |_| Duration::from_nanos(1)));
        Ok(due.map(|(_, event)| event))
    }

    fn now(&self) -> Instant {
        self.began + self.clock.get()
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

/// A guest by TCG, as imgforge watches it.
fn slow() -> Limits {
    Limits {
        boot: LONG,
        slack: LONG,
        ..Limits::usual(Accel::Tcg)
    }
}

/// What a kernel said whose second processor got no timer interrupts any more, after `second`.
fn stall(second: u64) -> String {
    format!(
        "[{second:5}.449414] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\r\n\
         [{second:5}.453170] rcu: \t1-...!: (0 ticks this GP) idle=bac8/0/0x0 softirq=9/9 fqs=0\r\n\
         [{second:5}.453170] Sending NMI from CPU 0 to CPUs 1:\r\n\
         [{:5}.765419] RIP: 0010:pv_native_safe_halt+0xf/0x20\r\n\
         [{second:5}.453170] rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies!\r\n\
         [{second:5}.453170] rcu: \tPossible timer handling issue on cpu=1 timer-softirq=6\r\n\
         [{second:5}.453170]  rcu_gp_kthread+0xe0/0x1b0\r\n\
         [{second:5}.453170]  </TASK>\r\n",
        second - 2
    )
}

#[test]
fn a_guest_whose_kernel_says_nothing_but_that_it_gets_no_further_is_ended() {
    let (job, script) = (job(&[]), Script::default());
    script.says("console", "[    5.265268] i8042: PNP: PS/2 Controller\r\n");
    for second in (23..900).step_by(63) {
        script.waits(Duration::from_secs(63));
        // As they come from a serial port: in pieces that end anywhere.
        for piece in stall(second).as_bytes().chunks(100) {
            script.says("console", piece);
        }
    }
    let (end, ..) = follow(&script, &job, &BTreeMap::new(), slow());
    assert_eq!(end, End::Stuck(slow().device));
    assert!(script.clock.get() < slow().device + Duration::from_secs(120));
}

#[test]
fn a_guest_that_goes_on_after_such_a_report_is_left_alone() {
    let (job, script) = (job(&[]), Script::default());
    let hello = format!("hello {}\nstep 1 begin\n", job.nonce);
    let goes_on = [
        ("console", "[   99.000001] systemd[1]: Hostname set.\r\n"),
        ("console", "[  OK  ] Started something.\r\n"),
        ("console", "\r[ ***  ] A start job is running"),
        (EVENTS_PORT, hello.as_str()),
        (OUTPUT_PORT, "compiling\n"),
        (OUTPUT_PORT, "compiled\n"),
    ];
    for (second, (port, said)) in (23..).zip(goes_on) {
        script.says("console", format!("\n{}", stall(second)));
        script.waits(slow().device - Duration::from_secs(9));
        script.says(port, said);
    }
    script.ends(Outcome::ShutDown);
    let (end, ..) = follow(&script, &job, &BTreeMap::new(), slow());
    assert_eq!(end, End::Ended(Outcome::ShutDown));
}

#[test]
fn a_kernel_that_only_trusts_a_clock_no_more_is_not_stuck() {
    let (job, script) = (job(&[]), Script::default());
    script.says(
        "console",
        "[    1.0] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' unstable\n",
    );
    let (end, ..) = follow(&script, &job, &BTreeMap::new(), slow());
    assert_eq!(end, End::Stalled(slow().stall));
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
