//! The gate. Offline, the sealed disk holds no leftovers; online, two clones of it boot in
//! parallel, come up healthy, pass the recipe's commands, and are two different machines.

mod basis;
mod boot;
mod judge;
mod offline;
mod plan;
mod report;
mod run;
mod subject;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::{Context as _, Error, Result};
use crate::guest::{Key, Os};
use crate::host::accel::Accel;
use crate::host::qemu_img;
use crate::hypervisor::{Connection, Disk};
use crate::machine::Machine;
use crate::recipe::types::Check;
use crate::repository::gate::{CloneReport, CommandReport, GateReport, Leftovers};
use crate::scan;
use crate::store::ledger::Ledger;
use crate::store::to_json;
use crate::ui::StageUi;

pub use basis::Basis;
pub use boot::clone_disk;
use boot::{Booted, boot, prepare};
pub use run::{Checked, GUESTS, STAGE, run};
pub use subject::{known, subject, subject_with};

/// How many leftovers an error shows; all are in `gate.json`.
const SHOWN: usize = 20;

/// What the gate works with.
#[derive(Debug, Clone)]
pub struct Gate<'a> {
    /// libvirt.
    pub connection: &'a Connection,
    /// Where domains are written down.
    pub ledger: &'a Ledger,
    /// What runs the appliance, and clones of the host's own architecture.
    pub accel: Accel,
    /// Where progress goes.
    pub ui: &'a StageUi,
    /// The sealed disk, qcow2, absolute; it is not changed.
    pub disk: &'a Path,
    /// The operating system of this very disk, where it is known.
    pub os: Option<&'a Os>,
    /// The recipe's machine: that of the [`Basis`].
    pub machine: &'a Machine,
    /// What the recipe asks of the gate, and what the disk or the target adds.
    pub check: &'a Check,
    /// The recipe's variables: those of the [`Basis`].
    pub vars: &'a BTreeMap<String, String>,
    /// What opens the disk when it boots, if it is encrypted.
    pub passphrase: Option<Key>,
    /// What the scan knows about the image.
    pub subject: &'a scan::Subject,
    /// Private directory for overlays and job disks.
    pub scratch: &'a Path,
    /// Where evidence stays.
    pub logs: &'a Path,
    /// Disks of the clones beside their own, such as a target's seed.
    pub more: &'a [Disk],
    /// Size of the clones' disks in bytes, where a target's machines have larger ones.
    pub size: Option<u64>,
}

impl Gate<'_> {
    /// What runs the clones.
    fn guest_accel(&self) -> Accel {
        self.accel.on(self.machine.arch)
    }

    /// Where a gate that does not pass leaves its report.
    fn report(&self) -> PathBuf {
        self.logs.join(self.named("gate.json"))
    }

    /// Start of the names of domains and evidence: gates of several targets run at once.
    fn named(&self, what: &str) -> String {
        match self.ui.stage() {
            CHECK => what.to_owned(),
            stage => format!("{stage}-{what}"),
        }
    }
}

/// The stage whose gate is the image's own.
const CHECK: &str = "check";

/// Looks for leftovers on the disk, boots two clones of it and compares them.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) with every problem, when there is one; the report, the
/// console logs, screenshots and journals stay in `logs` then.
pub fn run_gate(gate: &Gate<'_>) -> Result<GateReport> {
    // What an earlier build was refused for is not what this one has.
    match std::fs::remove_file(gate.report()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            return Err(cause).doing(|| format!("removing {}", gate.report().display()));
        }
        _ => {}
    }
    let common = gate.scratch.join("gate.qcow2");
    qemu_img::create(&common, Some((gate.disk, "qcow2")), None, gate.size)?;
    let began = Instant::now();
    // The scan and the appliance use one processor each.
    let (leftovers, models) = std::thread::scope(|scope| {
        let models = scope.spawn(|| prepare(&common, gate));
        let leftovers = offline::leftovers(gate, began);
        (leftovers, models.join().unwrap_or_else(|_| Err(panicked())))
    });
    let (leftovers, models) = (leftovers?, models?);
    if !leftovers.refused.is_empty() {
        return refuse(gate, offline::problems(&leftovers), vec![], leftovers, &[]);
    }
    gate.ui.step("booting two clones");
    let clones = plan::plan(gate.machine.firmware(), &models);
    let [first, second] = &clones;
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| boot(gate, &common, second));
        let one = boot(gate, &common, first);
        (one, other.join().unwrap_or_else(|_| Err(panicked())))
    });
    let booted = [a?, b?];
    let [a, b] = &booted;
    let mut problems = judge::between(&a.finished.journal, &b.finished.journal);
    for Booted {
        plan,
        job,
        finished,
    } in &booted
    {
        problems.extend(judge::of_clone(plan, finished, job, gate.check));
    }
    let clones: Vec<_> = booted
        .iter()
        .map(|clone| clone.report(gate.check))
        .collect();
    for clone in clones.iter().filter(|clone| clone.boots > 1) {
        let (name, boots) = (&clone.name, clone.boots);
        let text = format!("clone {name} was started {boots} times before it came up");
        gate.ui.ui().notice(text);
    }
    if !problems.is_empty() {
        return refuse(gate, problems, clones, leftovers, &booted);
    }
    Ok(GateReport {
        passed: true,
        problems,
        clones,
        leftovers,
    })
}

fn panicked() -> Error {
    Error::internal("a thread of the gate panicked")
}

/// Keeps the evidence and names it.
fn refuse(
    gate: &Gate<'_>,
    problems: Vec<String>,
    clones: Vec<CloneReport>,
    leftovers: Leftovers,
    booted: &[Booted<'_>],
) -> Result<GateReport> {
    let report = GateReport {
        passed: false,
        problems,
        clones,
        leftovers,
    };
    let path = gate.report();
    std::fs::write(&path, to_json(&report)?)
        .doing(|| format!("writing the gate's report {}", path.display()))?;
    let image = gate.ui.image();
    let error = Error::gate(format!("the gate did not pass for {image}"))
        .cause(report.problems.join("; "))
        .cause(format!("the gate's report is {}", path.display()));
    let error = booted.iter().fold(error, |error, clone| {
        error.cause(format!(
            "clone {}: {}",
            clone.plan.name,
            clone.finished.kept()
        ))
    });
    let shown = booted
        .iter()
        .find(|c| !c.finished.orderly())
        .or(booted.first());
    if let Some(clone) = shown {
        let tail = clone.finished.last_words();
        return Err(error
            .evidence(tail.iter().skip(tail.len().saturating_sub(SHOWN)).cloned())
            .hint(format!(
                "`imgforge logs {image} {}` shows what the clones said",
                gate.ui.stage()
            )));
    }
    Err(error
        .evidence(offline::lines(&report.leftovers))
        .hint("`check: {allow: [{rule, path, reason}]}` accepts a leftover on purpose"))
}

#[cfg(test)]
mod tests;
