//! The watch, on guests that play a script.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::error::{Context as _, Result};
use crate::hypervisor::Counters;
use crate::installers::Installer;
use crate::installers::kickstart::KICKSTART;
use crate::installers::preseed::PRESEED;
use crate::ui::{Event, Reporter, Ui};

/// Plays its events, one a call, and then is silent, as long as it may. Its clock is its own.
struct Script {
    clock: Clock,
    /// What an event takes.
    pace: Duration,
    events: RefCell<VecDeque<DomainEvent>>,
    busy: bool,
    grown: std::cell::Cell<u64>,
    crashed: bool,
}

/// A clock that goes on when somebody waits.
struct Clock(std::cell::Cell<Instant>);

impl Clock {
    fn wait(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

fn says(texts: &[&str]) -> Script {
    let console = texts
        .iter()
        .map(|text| DomainEvent::Console(text.as_bytes().to_vec()));
    Script {
        clock: Clock(std::cell::Cell::new(Instant::now())),
        pace: Duration::ZERO,
        events: RefCell::new(console.collect()),
        busy: false,
        grown: Default::default(),
        crashed: false,
    }
}

impl Script {
    fn then(self, event: DomainEvent) -> Self {
        self.events.borrow_mut().push_back(event);
        self
    }

    fn reports(self, key: &str) -> Self {
        let data = format!("imgforge installed {key}\n").into_bytes();
        let name = EVENTS_PORT.to_owned();
        self.then(DomainEvent::Channel { name, data })
    }
}

impl Guest for Script {
    fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>> {
        let event = self.events.borrow_mut().pop_front();
        self.clock
            .wait(event.as_ref().map_or(timeout, |_| self.pace));
        Ok(event)
    }

    fn send(&self, _: &str, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn type_in(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn counters(&self) -> Result<Counters> {
        let grown = if self.busy {
            self.grown.replace(self.grown.get() + 1)
        } else {
            0
        };
        Ok(Counters {
            disk_written: grown,
            ..Counters::default()
        })
    }

    fn screenshot(&self, to: &Path) -> Result<()> {
        std::fs::write(to, b"png").doing(|| "writing".into())
    }

    fn crashed(&self) -> bool {
        self.crashed
    }

    fn now(&self) -> Instant {
        self.clock.0.get()
    }
}

struct Seen(std::sync::Mutex<Vec<Event>>);

impl Reporter for std::sync::Arc<Seen> {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct Outcomes {
    end: End,
    report: InstallReport,
    tail: Vec<String>,
    events: Vec<Event>,
    pictured: bool,
}

fn watch(installer: &'static Installer, script: &Script, limits: Limits) -> Outcomes {
    let dir = tempfile::tempdir().unwrap();
    let seen = std::sync::Arc::new(Seen(Default::default()));
    let ui = Ui::new(std::sync::Arc::clone(&seen)).stage("toy", "install");
    let mask = Mask::default();
    let config = WatchConfig {
        installer,
        key: "c0ffee",
        ui: &ui,
        mask: &mask,
        limits,
        log: None,
        screen: &dir.path().join("screen.png"),
    };
    let nothing = || 0;
    let mut watch = Watch::new(config, &nothing).unwrap();
    let end = watch.run(script).unwrap();
    Outcomes {
        end,
        report: watch.report().clone(),
        tail: watch.console_tail(),
        pictured: watch.screenshot().is_some_and(|path| path.exists()),
        events: seen.0.lock().unwrap().clone(),
    }
}

const PATIENT: Limits = Limits {
    timeout: Duration::from_secs(36_000),
    stall: Duration::from_secs(36_000),
    question: Duration::from_secs(36_000),
};

fn impatient() -> Limits {
    Limits {
        stall: Duration::from_secs(600),
        ..PATIENT
    }
}

const OFF: DomainEvent = DomainEvent::Ended(Outcome::ShutDown);

#[test]
fn progress_becomes_steps_and_hundredths() {
    let script = says(&[
        "Installing the base system  ",
        "... 10%",
        "... 9",
        "0%\r\n",
        "Finishing  ... 5%\n",
    ])
    .reports("c0ffee")
    .then(OFF);
    let seen = watch(&PRESEED, &script, PATIENT);
    assert_eq!(
        (seen.end, seen.report),
        (End::Ended(Outcome::ShutDown), InstallReport::Right)
    );
    let watched: Vec<String> = seen
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Step { name, .. } => Some(name.clone()),
            Event::Progress { done, .. } => Some(done.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        watched,
        ["Installing the base system", "10", "90", "Finishing", "5"]
    );
    assert_eq!(seen.tail.len(), 2);
}

#[test]
fn only_an_end_with_the_key_is_reported_as_one() {
    let seen = watch(&PRESEED, &says(&["bye\n"]).then(OFF), PATIENT);
    assert_eq!(seen.report, InstallReport::None);
    let seen = watch(&PRESEED, &says(&[]).reports("deadbeef"), PATIENT);
    assert_eq!(seen.end, End::WrongKey("deadbeef".into()));
    // A kernel without the port reports on the console.
    let seen = watch(
        &PRESEED,
        &says(&["imgforge installed c0ffee\r\n"]).then(OFF),
        PATIENT,
    );
    assert_eq!(seen.report, InstallReport::Right);
    let seen = watch(
        &PRESEED,
        &says(&["[ 9.1] reboot: Restarting system\n"]).then(OFF),
        PATIENT,
    );
    assert_eq!(seen.end, End::Rebooted);
}

#[test]
fn a_guest_without_a_sign_of_life_is_stalled() {
    let seen = watch(&PRESEED, &says(&["working\n"]), impatient());
    assert_eq!(seen.end, End::Stalled);
    assert!(seen.pictured);
}

#[test]
fn a_clock_that_is_redrawn_is_no_sign_of_life() {
    let mut texts = vec!["working\n".to_owned()];
    texts.extend((0..2000).map(|n| format!("\u{1b}[25;1H(1*installer  2 shell)[ Nov 21 7:{n} ]")));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut script = says(&texts);
    // Together far longer than the stall.
    script.pace = Duration::from_secs(1);
    let seen = watch(&PRESEED, &script, impatient());
    assert_eq!(seen.end, End::Stalled);
    assert!(!script.events.borrow().is_empty());
}

#[test]
fn a_kernel_that_says_nothing_but_that_it_gets_no_further_is_stalled() {
    let report = |n: u32| {
        format!(
            "[ {n}.58] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\r\n\
             [ {n}.58] RDI: 00000000000{:x} RBP: {:x}\r\n",
            n * 7_654_321,
            n * 1_234_567
        )
    };
    let texts: Vec<String> = (1..40).map(report).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut script = says(&texts);
    script.pace = Duration::from_secs(63);
    let seen = watch(&PRESEED, &script, impatient());
    assert_eq!(seen.end, End::Stalled);
    assert!(!script.events.borrow().is_empty());
}

#[test]
fn what_the_proxy_relays_is_a_sign_of_life_and_time_ends_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let ui = Ui::silent().stage("toy", "install");
    let (mask, script) = (Mask::default(), says(&[]));
    let began = Instant::now();
    let relayed = || script.now().duration_since(began).as_secs();
    let config = WatchConfig {
        installer: &KICKSTART,
        key: "c0ffee",
        ui: &ui,
        mask: &mask,
        limits: impatient(),
        log: None,
        screen: &dir.path().join("screen.png"),
    };
    let mut watch = Watch::new(config, &relayed).unwrap();
    assert_eq!(watch.run(&script).unwrap(), End::TooLong);
}

#[test]
fn a_prompt_is_an_end_with_what_it_asks() {
    let script = says(&[
        "[!!] Configure the network\n\n",
        "Network autoconfiguration failed\n",
        "  1: Retry\n  2: Go back\n",
        "Prompt: '?' for help, default=1> ",
    ]);
    let seen = watch(&PRESEED, &script, PATIENT);
    assert_eq!(
        seen.end,
        End::Asks("[!!] Configure the network / Prompt: '?' for help, default=1>".into())
    );
    assert!(seen.pictured);
}

#[test]
fn a_bare_question_is_one_only_when_nothing_moves() {
    let mut limits = PATIENT;
    limits.question = Duration::from_secs(60);
    let script = says(&["Set up users and passwords\n", "Root password: "]);
    let seen = watch(&PRESEED, &script, limits);
    assert_eq!(
        seen.end,
        End::Asks("Set up users and passwords / Root password:".into())
    );
    // A line that goes on was none.
    let script = says(&["Root password: ", "is not asked for\n"]).then(OFF);
    assert_eq!(
        watch(&PRESEED, &script, limits).end,
        End::Ended(Outcome::ShutDown)
    );
}

#[test]
fn last_words_end_the_guest_by_their_meaning() {
    for (installer, text, end) in [
        (
            &PRESEED,
            "[ 1.0] Kernel panic - not syncing: VFS\n",
            End::Panicked,
        ),
        (
            &KICKSTART,
            "Pane is dead (status 1)\n",
            End::GaveUp("Pane is dead (status 1)".into()),
        ),
    ] {
        let seen = watch(installer, &says(&[text, "more words\n"]), PATIENT);
        assert_eq!(seen.end, end);
        assert_eq!(seen.tail.last().unwrap(), "more words");
    }
    let mut script = says(&[]);
    script.crashed = true;
    assert_eq!(watch(&PRESEED, &script, PATIENT).end, End::Panicked);
}

#[test]
fn a_busy_disk_is_a_sign_of_life() {
    let mut script = says(&[]);
    script.busy = true;
    assert_eq!(watch(&PRESEED, &script, impatient()).end, End::TooLong);
}

#[test]
fn a_panics_own_line_is_shown_however_long_its_trace_is() {
    let mut lines =
        vec!["[    1.0] Kernel panic - not syncing: Attempted to kill init!\n".to_owned()];
    lines.extend((0..60).map(|n| format!("[    1.1]  function_{n}+0x10/0x20\n")));
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let watched = watch(&PRESEED, &says(&texts), PATIENT);
    assert_eq!(watched.end, End::Panicked);
    assert_eq!(watched.tail.len(), 41);
    assert!(
        watched.tail[0].contains("Attempted to kill init!"),
        "{:?}",
        watched.tail
    );
    assert!(
        watched.tail[40].contains("function_59"),
        "{:?}",
        watched.tail
    );
    // Not twice where it is among the last lines anyway.
    let watched = watch(&PRESEED, &says(&texts[..5]), PATIENT);
    assert_eq!(watched.tail.len(), 5);
}
