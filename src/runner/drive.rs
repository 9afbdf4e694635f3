//! Boots a disk into which the runner was put, and sees its job through, over every restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::evidence::{Evidence, journal_beside};
use super::report::Journal;
use super::watch::{End, Limits, Session};
use super::{EVENTS_PORT, JOB_SERIAL, Job, LOG_SERIAL, Mode, OUTPUT_PORT, TOOLS_SERIAL};
use crate::error::{Error, Result};
use crate::guest::Key;
use crate::host::accel::Accel;
use crate::hypervisor::{Boot, Connection, Disk, Firmware, Format, Nic, OnReboot, Outcome, Spec};
use crate::store::ledger::Ledger;
use crate::ui::StageUi;
use crate::units::{self, Size};

/// Restarts that no step asked for, before the runner starts, as after relabelling a disk.
const FREE_RESTARTS: u32 = 3;

/// As many in the gate: an image relabels its disk once, and one that comes up only now and then is
/// not healthy.
const GATE_RESTARTS: u32 = 1;

/// Restarts for a device or a timer's interrupt that did not come in time: one that is late again is
/// missing.
const LATE_RESTARTS: u32 = 1;

/// How many lines of evidence an error shows.
const EVIDENCE: usize = 20;

/// The guest that executes a job.
#[derive(Debug, Clone)]
pub struct Machine<'a> {
    /// libvirt.
    pub connection: &'a Connection,
    /// Where the domain is written down.
    pub ledger: &'a Ledger,
    /// What runs the guest.
    pub accel: Accel,
    /// Start of the domain's name.
    pub name: String,
    /// The disk with the runner's starter, absolute.
    pub disk: PathBuf,
    /// Format of `disk`.
    pub format: Format,
    /// What is booted, usually the disk.
    pub boot: Boot,
    /// Memory.
    pub memory: Size,
    /// Number of CPUs.
    pub cpus: u32,
    /// Firmware.
    pub firmware: Firmware,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// Disks beside the root and the job's.
    pub more: Vec<Disk>,
    /// Typed where the boot asks for the passphrase of an encrypted disk.
    pub passphrase: Option<Key>,
    /// Private directory for the job's disks.
    pub scratch: &'a Path,
    /// Where console logs and screenshots stay.
    pub logs: &'a Path,
}

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

/// Runs `job` on `machine` to its end. Whether it went well is in the result.
///
/// # Errors
/// When the guest cannot be started, its journal lies, or imgforge is interrupted.
pub fn drive(
    machine: &Machine<'_>,
    job: &Job,
    ui: &StageUi,
    prefix: &str,
    secrets: &BTreeMap<String, Vec<u8>>,
    limits: Limits,
) -> Result<Finished> {
    let disk = |kind: &str| machine.scratch.join(format!("{}-{kind}.raw", machine.name));
    let (jobs, journal) = (disk("job"), disk("log"));
    job.write(&jobs, &journal)?;
    let mut session = Session::new(job, ui, prefix, secrets, limits);
    if let Some(passphrase) = &machine.passphrase {
        session.unlock_with(passphrase);
    }
    let masked = !secrets.is_empty() || machine.passphrase.is_some();
    let mut free = Restarts {
        gate: job.mode == Mode::Check,
        ..Restarts::default()
    };
    for boot in 1.. {
        let log = console_log(machine, boot);
        // Where secrets are, only masked lines reach a file.
        let raw = (!masked).then(|| log.clone());
        if raw.is_none() {
            session.log_to(&log)?;
        }
        if job.mode == Mode::Check {
            session.keep(Evidence::beside(&log));
        }
        let before = written(&machine.disk);
        let (end, screenshot) = boot_once(
            machine,
            &spec(machine, &jobs, &journal, job.toolbox.as_deref(), raw),
            &mut session,
            &log,
        )?;
        let untouched = before.is_some() && before == written(&machine.disk);
        let report = Journal::read(&journal, &job.nonce, job.count())
            .map_err(|error| error.evidence(session.console_tail()))?;
        let late = session.late() || matches!(end, End::Stuck(_));
        let late = late && machine.accel == Accel::Tcg;
        if boots_again(end, &report, late, untouched, &mut free) {
            let why = match end {
                End::Ended(Outcome::Failed) => "the hypervisor lost it before it wrote anything",
                End::Panicked => "the host was too busy for it",
                End::DeadEnd(_) => "a device did not come in time, perhaps of a busy host",
                End::Stuck(_) => "a timer's interrupt did not come, perhaps of a busy host",
                _ => continue,
            };
            ui.line(format!("{prefix}the guest starts again: {why}"));
            continue;
        }
        let (breaches, all) = session.breaches();
        if let Some(first) = breaches.first() {
            ui.line(format!(
                "{prefix}the guest broke the runner's protocol {all} times, first by {first}"
            ));
        }
        return Ok(Finished {
            end,
            journal: report,
            output: session.output_tail(),
            console: session.console_tail(),
            log,
            screenshot,
            boots: boot,
        });
    }
    unreachable!("a guest boots less often than this counts")
}

/// When a file was last written.
fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// Boots that no step asked for.
#[derive(Debug, Default)]
struct Restarts {
    /// Whether the guest is a clone in the gate.
    gate: bool,
    /// Those that the guest began or ended.
    own: u32,
    /// Those of which the guest knows nothing.
    lost: u32,
}

/// Whether the job goes on with another boot; `free` counts those that no step asked for. The host
/// was `late` with what the boot waited for; a disk is `untouched` when the guest has written nothing.
fn boots_again(
    end: End,
    report: &Journal,
    late: bool,
    untouched: bool,
    free: &mut Restarts,
) -> bool {
    let restarted = end == End::Ended(Outcome::Rebooted) && report.done.is_none();
    if restarted && report.restarting {
        return true;
    }
    let ended = matches!(end, End::Panicked | End::DeadEnd(_) | End::Stuck(_));
    let starved = late && ended && report.boots == 0;
    // QEMU's translator with several processors aborts now and then while the guest sets up its
    // devices: as in `crate::guest`.
    let lost = end == End::Ended(Outcome::Failed) && report.boots == 0 && untouched;
    if lost {
        free.lost += 1;
        return free.lost <= FREE_RESTARTS;
    }
    let unasked = starved || (restarted && report.open.is_none());
    free.own += u32::from(unasked);
    let limit = match end {
        End::DeadEnd(_) | End::Panicked | End::Stuck(_) => LATE_RESTARTS,
        _ if free.gate => GATE_RESTARTS,
        _ => FREE_RESTARTS,
    };
    unasked && free.own <= limit
}

fn console_log(machine: &Machine<'_>, boot: u32) -> PathBuf {
    let number = if boot == 1 {
        String::new()
    } else {
        format!("-{boot}")
    };
    machine
        .logs
        .join(format!("{}-console{number}.log", machine.name))
}

fn spec(
    machine: &Machine<'_>,
    job: &Path,
    journal: &Path,
    tools: Option<&Path>,
    log: Option<PathBuf>,
) -> Spec {
    let raw = |path: &Path, serial: &str, readonly| Disk {
        path: path.to_owned(),
        format: Format::Raw,
        serial: Some(serial.to_owned()),
        readonly,
    };
    let root = Disk {
        path: machine.disk.clone(),
        format: machine.format,
        serial: None,
        readonly: false,
    };
    let mut disks = vec![
        root,
        raw(job, JOB_SERIAL, true),
        raw(journal, LOG_SERIAL, false),
    ];
    disks.extend(machine.more.iter().cloned());
    disks.extend(tools.map(|path| raw(path, TOOLS_SERIAL, true)));
    Spec {
        name: machine.name.clone(),
        memory: machine.memory,
        cpus: machine.cpus,
        firmware: machine.firmware,
        disks,
        nics: machine.nics.clone(),
        relay: None,
        channels: vec![EVENTS_PORT.into(), OUTPUT_PORT.into()],
        boot: machine.boot.clone(),
        accel: machine.accel,
        console_log: log,
        on_reboot: OnReboot::Destroy,
    }
}

fn boot_once(
    machine: &Machine<'_>,
    spec: &Spec,
    session: &mut Session<'_>,
    log: &Path,
) -> Result<(End, Option<PathBuf>)> {
    let domain = machine.connection.start(spec, machine.ledger)?;
    let end = session.run(&domain)?;
    let mut screenshot = None;
    let path = log.with_extension("png");
    if !matches!(end, End::Ended(_)) {
        // Evidence only: a guest that is gone by now has none.
        drop(domain.screenshot(&path));
    }
    if path.exists() {
        screenshot = Some(path);
    }
    domain.destroy()?;
    Ok((end, screenshot))
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
                124 => format!(
                    "{} did not end within its time limit{}",
                    named(n),
                    job.step(n).map_or(String::new(), |step| format!(
                        " of {}",
                        units::elapsed(step.each)
                    ))
                ),
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
                format!(
                    "the guest did not start the runner within {}",
                    units::elapsed(limit)
                )
            }
            (None, End::Stalled(limit)) => format!(
                "the guest hangs{within}: no output, disk or network activity for {}",
                units::elapsed(limit)
            ),
            (None, End::Stuck(limit)) => format!(
                "the guest hangs{within}: its kernel reports that a processor or its timer stands \
                 still, and nothing else came for {}; run it on a host that is less busy, or give it \
                 one CPU",
                units::elapsed(limit)
            ),
            (None, End::StepTimeout(n, limit)) => {
                format!(
                    "{} and the guest did not end it within {}",
                    named(n),
                    units::elapsed(limit)
                )
            }
            (None, End::NoPowerOff(limit)) => {
                format!(
                    "the guest did not go on or switch itself off within {}",
                    units::elapsed(limit)
                )
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

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
