//! How a job ended, in words.

use std::path::PathBuf;

use super::evidence::journal_beside;
use super::report::Journal;
use super::{End, Job};
use crate::error::Error;
use crate::hypervisor::Outcome;
use crate::units::elapsed;

/// How many lines of evidence an error shows.
const EVIDENCE: usize = 20;

/// How a job ended.
#[derive(Debug)]
pub struct Finished {
    /// How the guest ended.
    pub end: End,
    /// What the runner wrote down.
    pub journal: Journal,
    /// The last lines of the last step's output.
    pub output: Vec<String>,
    /// The last lines of the console.
    pub console: Vec<String>,
    /// The console's log, of the last boot.
    pub log: PathBuf,
    /// A screenshot of a guest that had to be ended.
    pub screenshot: Option<PathBuf>,
    /// How often the guest was started.
    pub boots: u32,
}

impl Finished {
    /// Whether the guest switched itself off after the runner's final report.
    pub fn orderly(&self) -> bool {
        self.end == End::Ended(Outcome::ShutDown) && self.journal.done.is_some()
    }

    /// What went wrong, in one sentence; `None` when every step went well.
    pub fn complaint(&self, job: &Job) -> Option<String> {
        if self.orderly() && self.journal.complete(job.count()) {
            return None;
        }
        let named = |n: u32| {
            let title = job.step(n).map_or("unknown", |step| step.title.as_str());
            format!("step {n}/{} ({title})", job.count())
        };
        let within = self
            .journal
            .open
            .map_or(String::new(), |n| format!(" in {}", named(n)));
        if let Some((n, code)) = self.journal.failed_step() {
            return Some(match code {
                124 => {
                    let limit = job
                        .step(n)
                        .map(|step| format!(" of {}", elapsed(step.each)));
                    let limit = limit.unwrap_or_default();
                    format!("{} did not end within its time limit{limit}", named(n))
                }
                code => format!("{} failed with exit code {code}", named(n)),
            });
        }
        Some(match (self.journal.failure.as_deref(), self.end) {
            (Some("secrets"), _) => "the guest did not get its secrets".into(),
            (Some("lost"), _) => format!("the guest restarted{within}, which is not repeated"),
            (Some("instance"), _) => {
                "the steps of `instance` could not be put into the image".into()
            }
            (Some(other), _) => format!("the runner gave up: {other}"),
            (None, End::DeadEnd(what)) => format!("the guest did not come up: {what}"),
            (None, End::Panicked) => format!("the guest's kernel panicked{within}"),
            (None, End::NoRunner(limit)) => {
                let limit = elapsed(limit);
                format!("the guest did not start the runner within {limit}")
            }
            (None, End::Stalled(limit)) => format!(
                "the guest hangs{within}: no output, disk or network activity for {}",
                elapsed(limit)
            ),
            (None, End::Stuck(limit)) => format!(
                "the guest hangs{within}: its kernel reports that a processor or its timer stands \
                 still, and nothing else came for {}; build again on a host that is less busy, or with \
                 `machine: {{cpus: 1}}`",
                elapsed(limit)
            ),
            (None, End::StepTimeout(n, limit)) => {
                let (step, limit) = (named(n), elapsed(limit));
                format!("{step} and the guest did not end it within {limit}")
            }
            (None, End::NoPowerOff(limit)) => {
                let limit = elapsed(limit);
                format!("the guest did not go on or switch itself off within {limit}")
            }
            (None, End::Ended(Outcome::ShutDown)) => {
                format!("the guest switched itself off{within} without the runner's final report")
            }
            (None, End::Ended(Outcome::Rebooted)) if self.journal.open.is_none() => {
                "the guest restarts again and again without starting the runner".into()
            }
            (None, End::Ended(Outcome::Rebooted)) => format!("the guest restarted itself{within}"),
            (None, End::Ended(Outcome::Crashed)) => format!("the guest crashed{within}"),
            (None, End::Ended(Outcome::Destroyed)) => {
                format!("the guest was ended from outside{within}")
            }
            (None, End::Ended(Outcome::Failed)) => format!("the hypervisor lost the guest{within}"),
        })
    }

    /// The lines that tell best what went wrong.
    pub fn last_words(&self) -> &[String] {
        // The console goes on after a step that ended: its last lines tell of the power-off.
        let ended = self.journal.failed_step().is_some() || self.orderly();
        let within = self.journal.open.is_some();
        match (ended || within) && !self.output.is_empty() {
            true => &self.output,
            false => &self.console,
        }
    }

    /// Where everything is that was kept.
    pub fn kept(&self) -> String {
        let mut seen = format!("the console's log is {}", self.log.display());
        let journal = journal_beside(&self.log);
        if journal.exists() {
            seen += &format!(", the journal {}", journal.display());
        }
        if let Some(path) = &self.screenshot {
            seen += &format!(", the screen {}", path.display());
        }
        seen
    }

    /// The complaint as an error with its evidence.
    pub fn error(&self, complaint: String) -> Error {
        let lines = self.last_words();
        let last = lines.iter().skip(lines.len().saturating_sub(EVIDENCE));
        Error::stage(complaint)
            .cause(self.kept())
            .evidence(last.cloned())
    }
}
