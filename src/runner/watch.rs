//! Follows a guest that executes a job, until it ends or has to be ended.
//!
//! What the guest says here informs people and starts time limits; whether the job went well is
//! for the journal to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::dead_end::{dead_end, is_late};
use super::evidence::Evidence;
use super::lines::{Lines, Tail};
use super::mask::Mask;
use super::protocol::{self, Event, Parser};
use super::{EVENTS_PORT, Job, OUTPUT_PORT};
use crate::error::{Context as _, Result};
use crate::guest::Key;
use crate::hypervisor::{Counters, DomainEvent, Outcome};
use crate::ui::StageUi;

mod guest;
mod limits;
mod overdue;
mod stuck;
pub(crate) mod unlock;

pub use guest::Guest;
pub use limits::Limits;
use stuck::Stuck;
use unlock::{Answer, Unlock};

/// How much of a guest's output is shown and logged, in bytes.
const SHOWN: u64 = 64 << 20;

/// How much of a guest's console the masked log holds, in bytes.
const LOGGED: u64 = 64 << 20;

/// How often a guest gets its secrets: once a boot, and no guest boots that often.
const DELIVERIES: u32 = 20;

/// How often the guest's activity is looked at.
const SAMPLE: Duration = Duration::from_secs(10);

/// A kernel that panicked says so and where; then it is ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A line of output that begins so is progress, and no output.
const PROGRESS: &str = "::imgforge:: ";

/// Why [`Session::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest ended by itself.
    Ended(Outcome),
    /// Its kernel panicked.
    Panicked,
    /// The boot ended in this way, from where only a person could go on.
    DeadEnd(&'static str),
    /// The runner did not start within this time.
    NoRunner(Duration),
    /// There was no sign of life for this time.
    Stalled(Duration),
    /// Its kernel reported that it gets no further, and there was no sign of life for this time.
    Stuck(Duration),
    /// This step's time was over, and the guest did not end it.
    StepTimeout(u32, Duration),
    /// The steps were done, but the guest did not switch itself off within this time.
    NoPowerOff(Duration),
}

/// The host's side of a job, over all restarts of its guest.
#[derive(Debug)]
pub struct Session<'a> {
    job: &'a Job,
    ui: &'a StageUi,
    prefix: String,
    secrets: &'a BTreeMap<String, Vec<u8>>,
    mask: Mask,
    limits: Limits,
    events: Parser,
    console: (Lines, Tail),
    output: (Lines, Tail),
    log: Option<File>,
    logged: u64,
    shown: u64,
    delivered: u32,
    trusted: bool,
    step: Option<u32>,
    panicked: Option<Instant>,
    dead_end: Option<(Instant, &'static str)>,
    late: bool,
    unlock: Unlock,
    evidence: Option<Evidence>,
    phase: Phase,
    now: Instant,
    signs: Signs,
    stuck: Stuck,
}

/// What the guest does, and until when it may.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Booting(Instant),
    Between(Instant),
    Step(u32, Instant),
    Finishing(Instant),
}

/// When the guest was last seen alive.
#[derive(Debug)]
struct Signs {
    last: Instant,
    sampled: Instant,
    counters: Counters,
}

impl Signs {
    fn since(now: Instant) -> Self {
        Signs {
            last: now,
            sampled: now,
            counters: Counters::default(),
        }
    }
}

impl<'a> Session<'a> {
    /// A session for `job`. `prefix` is put before each line and step, to tell clones apart.
    pub fn new(
        job: &'a Job,
        ui: &'a StageUi,
        prefix: impl Into<String>,
        secrets: &'a BTreeMap<String, Vec<u8>>,
        limits: Limits,
    ) -> Self {
        let now = Instant::now();
        Session {
            job,
            ui,
            prefix: prefix.into(),
            secrets,
            mask: Mask::new(secrets),
            limits,
            events: Parser::default(),
            console: Default::default(),
            output: Default::default(),
            log: None,
            logged: 0,
            shown: 0,
            delivered: 0,
            trusted: false,
            step: None,
            panicked: None,
            dead_end: None,
            late: false,
            unlock: Unlock::default(),
            evidence: None,
            phase: Phase::Booting(now),
            now,
            signs: Signs::since(now),
            stuck: Stuck::default(),
        }
    }

    /// Writes the console's lines, masked, to a file of this boot.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn log_to(&mut self, path: &Path) -> Result<()> {
        let file = File::create(path).doing(|| format!("writing the log {}", path.display()))?;
        self.log = Some(file);
        Ok(())
    }

    /// Types this passphrase where the boot asks for an encrypted disk's; no log shows it.
    pub fn unlock_with(&mut self, passphrase: &Key) {
        self.unlock = Unlock::with(Some(passphrase.clone()));
        let mut hidden = self.secrets.clone();
        hidden.insert("passphrase".into(), passphrase.bytes().to_vec());
        self.mask = Mask::new(&hidden);
    }

    /// Keeps what a gate that does not pass has to show.
    pub fn keep(&mut self, evidence: Evidence) {
        self.evidence = Some(evidence);
    }

    /// Follows one boot of the guest to its end. The caller ends a guest that did not end itself.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    pub fn run(&mut self, guest: &impl Guest) -> Result<End> {
        self.now = guest.now();
        (self.phase, self.trusted, self.panicked) = (Phase::Booting(self.now), false, None);
        (self.dead_end, self.late) = (None, false);
        self.unlock.begin();
        (self.signs, self.stuck) = (Signs::since(self.now), Stuck::default());
        loop {
            let event = guest.next_event(Duration::from_millis(500))?;
            self.now = guest.now();
            match event {
                Some(DomainEvent::Ended(outcome)) => {
                    self.flush();
                    return Ok(match (self.panicked, outcome) {
                        (Some(_), _) => End::Panicked,
                        (None, outcome) => End::Ended(outcome),
                    });
                }
                Some(event) => self.take(guest, event),
                None => {}
            }
            if let Some(end) = self.overdue(guest) {
                self.flush();
                return Ok(end);
            }
        }
    }

    /// The last lines of the console.
    pub fn console_tail(&self) -> Vec<String> {
        self.console.1.lines().map(str::to_owned).collect()
    }

    /// Whether this boot waited in vain for what a busy host is late with, and not as long as the
    /// guests of a build are told to wait: the limits of kernels, initrds and images stay theirs.
    pub fn late(&self) -> bool {
        self.late
    }

    /// The last lines of the current step's output.
    pub fn output_tail(&self) -> Vec<String> {
        self.output.1.lines().map(str::to_owned).collect()
    }

    /// Breaches of the protocol: the first ones, and how many there were.
    pub fn breaches(&self) -> (&[String], u64) {
        self.events.breaches()
    }

    fn take(&mut self, guest: &impl Guest, event: DomainEvent) {
        // The runner probes its port with NULs; that says nothing about the step.
        if matches!(&event, DomainEvent::Channel { data, .. } if data.iter().any(|b| *b != 0)) {
            self.is_alive();
        }
        match event {
            DomainEvent::Console(data) => {
                let lines = self.console.0.push(&data, &self.mask);
                let (now, mut sign) = (self.now, false);
                for line in lines {
                    sign |= self.stuck.is_sign(&line, now);
                    self.console_line(&line);
                    self.unlock.line();
                }
                let pending = self.console.0.pending(&self.mask);
                if sign || self.stuck.may_be_sign(&pending) {
                    self.is_alive();
                }
                if !self.trusted {
                    self.question(guest, &pending);
                }
            }
            DomainEvent::Channel { name, data } if name == OUTPUT_PORT => {
                let lines = self.output.0.push(&data, &self.mask);
                for line in lines {
                    match line.strip_prefix(PROGRESS) {
                        Some(what) => self.progress(what),
                        None => self.output_line(&line),
                    }
                }
            }
            DomainEvent::Channel { name, data } if name == EVENTS_PORT => {
                for event in self.events.push(&data) {
                    self.event(guest, event);
                }
            }
            DomainEvent::Channel { .. } | DomainEvent::Ended(_) => {}
        }
    }

    fn is_alive(&mut self) {
        (self.signs.last, self.stuck) = (self.now, Stuck::default());
    }

    /// Looks at a line that waits: for a passphrase, or for a person.
    fn question(&mut self, guest: &impl Guest, pending: &str) {
        let meaning = match self.unlock.answer(pending) {
            Answer::None => dead_end(pending),
            Answer::Never(meaning) => Some(meaning),
            Answer::Type(key) => {
                let typed = [key.bytes(), b"\n"].concat();
                // A guest that does not listen is seen to stand still.
                drop(guest.type_in(&typed));
                None
            }
        };
        if let Some(meaning) = meaning {
            self.dead_end.get_or_insert((self.now, meaning));
        }
    }

    fn console_line(&mut self, line: &str) {
        if line.contains("Kernel panic - not syncing") {
            self.panicked.get_or_insert(self.now);
        }
        // Behind the greeting, words like these are a step's.
        if let Some(meaning) = dead_end(line).filter(|_| !self.trusted) {
            self.dead_end.get_or_insert((self.now, meaning));
        }
        if let Phase::Booting(since) = self.phase {
            self.late |= self.since(since) < self.limits.device && is_late(line);
        }
        self.console.1.push(line);
        let logged = self.logged + line.len() as u64 + 1;
        if let Some(log) = self.log.as_mut().filter(|_| logged <= LOGGED) {
            // A full disk ends the stage where its result is written.
            drop(writeln!(log, "{line}"));
            self.logged = logged;
        }
        // The runner's own words come as events already.
        if !line.starts_with("imgforge: ") {
            self.show(line);
        }
    }

    /// What a step says of its own course, behind its title.
    fn progress(&mut self, what: &str) {
        if !self.is_shown(what) {
            return;
        }
        let Some((n, step)) = self.step.and_then(|n| Some((n, self.job.step(n)?))) else {
            return;
        };
        let (prefix, all) = (&self.prefix, self.job.count());
        self.ui
            .step(format!("{prefix}{n}/{all} {}: {what}", step.title));
    }

    fn show(&mut self, line: &str) {
        if self.is_shown(line) {
            self.ui.line(format!("{}{line}", self.prefix));
        }
    }

    /// Whether there is room for another line of the guest's; says once that there is none.
    fn is_shown(&mut self, line: &str) -> bool {
        let before = self.shown;
        self.shown += line.len() as u64 + 1;
        if before <= SHOWN && self.shown > SHOWN {
            self.ui.line(format!(
                "{}(the guest says too much; the rest is not shown)",
                self.prefix
            ));
        }
        self.shown <= SHOWN
    }

    fn event(&mut self, guest: &impl Guest, event: Event) {
        if !self.trusted && !matches!(event, Event::Boot(_) | Event::Hello(_)) {
            return self.events.breach("an event before the greeting");
        }
        let now = self.now;
        match event {
            Event::Hello(nonce) if nonce == self.job.nonce => {
                self.trusted = true;
                self.phase = Phase::Between(now);
            }
            Event::Hello(_) => self.events.breach("a greeting with another job's nonce"),
            Event::Secrets => self.deliver(guest),
            Event::Begin(n) => match self.job.step(n) {
                Some(step) if self.step.is_none_or(|current| n > current) => {
                    self.output.1.clear();
                    let title = format!("{}{n}/{} {}", self.prefix, self.job.count(), step.title);
                    self.ui.step(title);
                    (self.step, self.phase) = (Some(n), Phase::Step(n, now));
                }
                _ => self.events.breach("a step that cannot begin now"),
            },
            Event::Try(n, k, code) => {
                self.show(&format!(
                    "step {n} ended with exit code {code}, try {k} begins"
                ));
            }
            Event::End(..) => self.phase = Phase::Between(now),
            Event::Done(_) => self.phase = Phase::Finishing(now),
            Event::Fail(_) | Event::Boot(_) | Event::Skip(_) | Event::Reboot(_) => {}
            Event::Fact(name, _) => {
                if let Some(evidence) = self.evidence.as_ref().filter(|_| name == "state") {
                    // Evidence only: without a screen the console tells.
                    drop(guest.screenshot(&evidence.screen));
                }
            }
        }
    }

    fn deliver(&mut self, guest: &impl Guest) {
        if self.delivered >= DELIVERIES || self.secrets.is_empty() {
            return self.events.breach("a wish for secrets that are not due");
        }
        self.delivered += 1;
        if let Err(error) = guest.send(EVENTS_PORT, protocol::secrets(self.secrets).as_bytes()) {
            self.show(&format!("the secrets were not delivered: {error}"));
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.console.0.finish(&self.mask) {
            self.console_line(&line);
        }
        if let Some(line) = self.output.0.finish(&self.mask) {
            self.output_line(&line);
        }
    }

    fn output_line(&mut self, line: &str) {
        self.output.1.push(line);
        if let Some(evidence) = &mut self.evidence {
            evidence.output(line);
        }
        self.show(line);
    }
}

#[cfg(test)]
mod tests;
