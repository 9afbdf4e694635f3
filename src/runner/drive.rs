//! Boots a disk into which the runner was put, and sees its job through, over every restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::evidence::Evidence;
pub use super::finished::Finished;
use super::report::Journal;
use super::watch::{End, Limits, Session};
use super::{EVENTS_PORT, JOB_SERIAL, Job, LOG_SERIAL, Mode, OUTPUT_PORT, TOOLS_SERIAL};
use crate::error::Result;
use crate::guest::Key;
use crate::host::accel::Accel;
use crate::host::qemu_img::DiskFormat;
use crate::hypervisor::{Boot, Connection, Disk, Nic, OnReboot, Outcome, Spec};
use crate::machine::{Arch, Firmware};
use crate::store::ledger::Ledger;
use crate::ui::StageUi;
use crate::units::Size;

/// Restarts that no step asked for, before the runner starts, as after relabelling a disk.
const FREE_RESTARTS: u32 = 3;

/// As many in the gate: an image relabels its disk once, and one that comes up only now and then is
/// not healthy.
const GATE_RESTARTS: u32 = 1;

/// Restarts for a device or a timer's interrupt that did not come in time: one that is late again is
/// missing.
const LATE_RESTARTS: u32 = 1;

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
    pub format: DiskFormat,
    /// What is booted, usually the disk.
    pub boot: Boot,
    /// Architecture.
    pub arch: Arch,
    /// What it has of it.
    pub memory: Size,
    /// Number of CPUs.
    pub cpus: u32,
    /// What it starts with.
    pub firmware: Firmware,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// Disks beside the root and the job's.
    pub more: Vec<Disk>,
    /// The port of this host's loopback that the guest reaches at 10.0.2.2.
    pub relay: Option<u16>,
    /// Typed where the boot asks for the passphrase of an encrypted disk.
    pub passphrase: Option<Key>,
    /// Private directory for the job's disks.
    pub scratch: &'a Path,
    /// Where console logs and screenshots stay.
    pub logs: &'a Path,
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
    let mut cpus = machine.cpus;
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
            &Spec {
                cpus,
                ..spec(machine, &jobs, &journal, job.toolbox.as_deref(), raw)
            },
            &mut session,
            &log,
        )?;
        let untouched = before.is_some() && before == written(&machine.disk);
        let report = Journal::read(&journal, &job.nonce, job.count())
            .map_err(|error| error.evidence(session.console_tail()))?;
        // Where a processor hears of no interrupt any more, the kernel may not even say so.
        let deaf = matches!(end, End::Stuck(_)) || (matches!(end, End::Stalled(_)) && cpus > 1);
        let late = session.late() || deaf;
        let late = late && machine.accel.is_emulated();
        if boots_again(end, &report, late, untouched, &mut free) {
            if matches!(end, End::Stuck(_) | End::Stalled(_)) {
                // Every kernel trusts the TSC of a single CPU, which loses no time; and what an access
                // that goes elsewhere loses (see `crate::guest`) may be the end of an interrupt, after
                // which its processor gets no other.
                cpus = 1;
            }
            if let Some(why) = why_again(end) {
                ui.line(format!("{prefix}the guest starts again: {why}"));
            }
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

/// Why a guest starts again that did not ask for it.
fn why_again(end: End) -> Option<&'static str> {
    Some(match end {
        End::Ended(Outcome::Failed) => "the hypervisor lost it before it wrote anything",
        End::Panicked => "the host was too busy for it",
        End::DeadEnd(_) => "a device did not come in time, perhaps of a busy host",
        End::Stuck(_) | End::Stalled(_) => {
            "a timer's interrupt did not come, perhaps of a busy host; now with one CPU"
        }
        _ => return None,
    })
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
    let ended = matches!(
        end,
        End::Panicked | End::DeadEnd(_) | End::Stuck(_) | End::Stalled(_)
    );
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
        End::DeadEnd(_) | End::Panicked | End::Stuck(_) | End::Stalled(_) => LATE_RESTARTS,
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
        format: DiskFormat::Raw,
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
        arch: machine.arch,
        memory: machine.memory,
        cpus: machine.cpus,
        firmware: machine.firmware,
        disks,
        nics: machine.nics.clone(),
        relay: machine.relay,
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

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
