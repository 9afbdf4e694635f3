//! Follows a guest that executes a job, until it ends or has to be ended.
//!
//! What the guest says here informs people and starts time limits; whether the job went well is
//! for the journal to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::evidence::Evidence;
use super::protocol::{self, Event, Parser};
use super::{EVENTS_PORT, Job};
use crate::console::dead_end::{dead_end, is_late, is_panic};
use crate::console::lines::{Lines, Tail};
use crate::console::mask::Mask;
use crate::console::unlock::{Answer, Unlock};
use crate::console::{Console, Guest, Watcher};
use crate::error::Result;
use crate::guest::Key;
use crate::hypervisor::Outcome;
use crate::ui::StageUi;

mod follow;
mod limits;

pub use limits::Limits;

/// How often a guest gets its secrets: once a boot, and no guest boots that often.
const DELIVERIES: u32 = 20;

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
    secrets: &'a BTreeMap<String, Vec<u8>>,
    limits: Limits,
    events: Parser,
    console: Console<'a, End>,
    output: (Lines, Tail),
    delivered: u32,
    trusted: bool,
    step: Option<u32>,
    late: bool,
    unlock: Unlock,
    evidence: Option<Evidence>,
    phase: Phase,
}

/// What the guest does, and until when it may.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Booting(Instant),
    Between(Instant),
    Step(u32, Instant),
    Finishing(Instant),
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
        let console = Console::new(ui, prefix, "the guest", Mask::new(secrets));
        Session {
            job,
            secrets,
            limits,
            events: Parser::default(),
            phase: Phase::Booting(console.signs.now),
            console,
            output: Default::default(),
            delivered: 0,
            trusted: false,
            step: None,
            late: false,
            unlock: Unlock::default(),
            evidence: None,
        }
    }

    /// Writes the console's lines, masked, to a file of this boot.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn log_to(&mut self, path: &Path) -> Result<()> {
        self.console.log_to(path)
    }

    /// Types this passphrase where the boot asks for an encrypted disk's; no log shows it.
    pub fn unlock_with(&mut self, passphrase: &Key) {
        self.unlock = Unlock::with(Some(passphrase.clone()));
        let mut hidden = self.secrets.clone();
        hidden.insert("passphrase".into(), passphrase.bytes().to_vec());
        self.console.mask = Mask::new(&hidden);
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
        (self.phase, self.trusted, self.late) = (Phase::Booting(guest.now()), false, false);
        self.unlock.begin();
        self.follow(guest)
    }

    /// The last lines of the console.
    pub fn console_tail(&self) -> Vec<String> {
        self.console.tail().map(str::to_owned).collect()
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
            self.console.mark_failed(End::DeadEnd(meaning));
        }
    }

    fn console_line(&mut self, line: &str) {
        if is_panic(line) {
            self.console.mark_failed(End::Panicked);
        }
        // Behind the greeting, words like these are a step's.
        if let Some(meaning) = dead_end(line).filter(|_| !self.trusted) {
            self.console.mark_failed(End::DeadEnd(meaning));
        }
        if let Phase::Booting(since) = self.phase {
            self.late |= self.console.signs.ago(since) < self.limits.device && is_late(line);
        }
        self.console.keep(line);
        // The runner's own words come as events already.
        if !line.starts_with("imgforge: ") {
            self.console.show(line);
        }
    }

    /// What a step says of its own course, behind its title.
    fn progress(&mut self, what: &str) {
        if !self.console.has_room(what) {
            return;
        }
        let Some((n, step)) = self.step.and_then(|n| Some((n, self.job.step(n)?))) else {
            return;
        };
        let all = self.job.count();
        self.console
            .step(&format!("{n}/{all} {}: {what}", step.title));
    }

    fn event(&mut self, guest: &impl Guest, event: Event) {
        if !self.trusted && !matches!(event, Event::Boot(_) | Event::Hello(_)) {
            return self.events.breach("an event before the greeting");
        }
        let now = self.console.signs.now;
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
                    self.console
                        .step(&format!("{n}/{} {}", self.job.count(), step.title));
                    (self.step, self.phase) = (Some(n), Phase::Step(n, now));
                }
                _ => self.events.breach("a step that cannot begin now"),
            },
            Event::Try(n, k, code) => {
                self.console.show(&format!(
                    "step {n} ended with exit code {code}, try {k} begins"
                ));
            }
            Event::End(..) => self.phase = Phase::Between(now),
            Event::Done(_) => self.phase = Phase::Finishing(now),
            Event::Fail(_)
            | Event::Boot(_)
            | Event::Skip(_)
            | Event::Reboot(_)
            | Event::Time(..) => {}
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
            return self.events.breach("a request for secrets that are not due");
        }
        self.delivered += 1;
        if let Err(error) = guest.send(EVENTS_PORT, protocol::secrets(self.secrets).as_bytes()) {
            self.console
                .show(&format!("the secrets were not delivered: {error}"));
        }
    }

    fn output_line(&mut self, line: &str) {
        self.output.1.push(line);
        if let Some(evidence) = &mut self.evidence {
            evidence.output(line);
        }
        self.console.show(line);
    }
}

#[cfg(test)]
mod tests;
