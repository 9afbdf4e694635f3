//! The online half of the gate: two clones of the sealed disk boot in parallel, come up healthy,
//! pass the recipe's commands, and are two different machines.

mod run;

pub use run::run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::accel::Accel;
use crate::host::exec::Program;
use crate::hypervisor::{Boot, Connection, Firmware, Format, Network, Nic};
use crate::recipe::types::{self, Action, Check, Shell, Step};
use crate::runner::drive::{Finished, Machine, drive};
use crate::runner::{Job, Journal, Limits, Mode, Request, inject};
use crate::store::ledger::Ledger;
use crate::ui::StageUi;

/// What the gate works with.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// libvirt.
    pub connection: &'a Connection,
    /// Where domains are written down.
    pub ledger: &'a Ledger,
    /// What runs the guests.
    pub accel: Accel,
    /// Who hears about it.
    pub ui: &'a StageUi,
    /// The sealed disk, qcow2, absolute; it is not changed.
    pub disk: &'a Path,
    /// The recipe's machine.
    pub machine: &'a types::Machine,
    /// What the recipe asks of the gate.
    pub check: &'a Check,
    /// The recipe's variables.
    pub vars: &'a BTreeMap<String, String>,
    /// Private directory for overlays and job disks.
    pub scratch: &'a Path,
    /// Where evidence stays.
    pub logs: &'a Path,
}

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateReport {
    /// Whether nothing was found wrong.
    pub passed: bool,
    /// Everything that was found wrong, a sentence each.
    pub problems: Vec<String>,
    /// The clones.
    pub clones: Vec<CloneReport>,
}

/// One clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CloneReport {
    /// `a` or `b`.
    pub name: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Model of its network card.
    pub nic: String,
    /// What the init system says of itself: `running`, `degraded`, …
    pub state: String,
    /// Seconds from the kernel's start until it was up.
    pub healthy_after: Option<u64>,
    /// Release of the kernel.
    pub kernel: String,
    /// Its machine id, which no other clone has; `None` without systemd.
    pub machine_id: Option<String>,
    /// Failed units that the recipe accepts.
    pub accepted_units: Vec<String>,
    /// Exit codes of the recipe's commands.
    pub commands: Vec<CommandReport>,
}

/// One of the recipe's commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandReport {
    /// The command line.
    pub command: String,
    /// Its exit code.
    pub code: Option<i32>,
}

/// Boots two clones of the disk and compares them.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) with every problem, when there is one; the report and
/// the console logs stay in `logs` then.
pub fn run_gate(gate: &Gate<'_>) -> Result<GateReport> {
    let common = gate.scratch.join("gate.qcow2");
    overlay(gate.disk, &common)?;
    let models = prepare(&common, gate)?;
    gate.ui.step("booting two clones");
    let clones = plan(gate.machine.firmware, &models);
    let [first, second] = &clones;
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| boot(gate, &common, second));
        let one = boot(gate, &common, first);
        let panicked = || Error::internal("the thread of a clone panicked");
        (one, other.join().unwrap_or_else(|_| Err(panicked())))
    });
    let (a, b) = (a?, b?);
    let mut problems = between(&a.finished.journal, &b.finished.journal);
    for clone in [&a, &b] {
        problems.extend(of_clone(
            &clone.plan.name,
            &clone.finished,
            &clone.job,
            gate.check,
        ));
    }
    let report = GateReport {
        passed: problems.is_empty(),
        clones: [&a, &b].map(|clone| clone.report(gate.check)).to_vec(),
        problems,
    };
    if report.passed {
        return Ok(report);
    }
    let path = gate.logs.join("gate.json");
    std::fs::write(
        &path,
        serde_json::to_vec_pretty(&report).unwrap_or_default(),
    )
    .doing(|| format!("writing the gate's report {}", path.display()))?;
    let shown = [&a, &b]
        .into_iter()
        .find(|c| !c.finished.orderly())
        .unwrap_or(&a);
    let tail = &shown.finished.output;
    Err(
        Error::gate(format!("the gate did not pass for {}", gate.ui.image()))
            .cause(report.problems.join("; "))
            .cause(format!(
                "console logs and gate.json are in {}",
                gate.logs.display()
            ))
            .evidence(tail.iter().skip(tail.len().saturating_sub(20)).cloned())
            .hint(format!(
                "`imgforge logs {} check` shows what the clones said",
                gate.ui.image()
            )),
    )
}

/// A clone's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clone {
    name: String,
    firmware: Firmware,
    nic: Nic,
}

/// The second clone is another machine wherever the image may be.
fn plan(firmware: types::Firmware, models: &BTreeSet<String>) -> [Clone; 2] {
    let (one, other) = match firmware {
        types::Firmware::Bios => (Firmware::Bios, Firmware::Bios),
        types::Firmware::Uefi => (Firmware::Uefi, Firmware::Uefi),
        types::Firmware::Both => (Firmware::Bios, Firmware::Uefi),
    };
    let model = ["e1000e", "e1000", "vmxnet3"]
        .into_iter()
        .find(|m| models.contains(*m));
    let nic = |model: &str, mac: &str, slot| Nic {
        model: model.into(),
        mac: Some(mac.into()),
        slot,
        network: Network::User,
    };
    [
        Clone {
            name: "a".into(),
            firmware: one,
            nic: nic("virtio", "52:54:00:1f:0a:01", None),
        },
        Clone {
            name: "b".into(),
            firmware: other,
            nic: nic(model.unwrap_or("virtio"), "52:54:00:1f:0b:02", Some(0x1c)),
        },
    ]
}

/// Puts the runner into the overlay and says which network cards the guest's kernels drive.
fn prepare(disk: &Path, gate: &Gate<'_>) -> Result<BTreeSet<String>> {
    gate.ui.step("putting the runner into a throw-away overlay");
    let drives = [Drive {
        path: disk,
        format: "qcow2",
        readonly: false,
    }];
    let launch = Launch {
        drives: &drives,
        accel: gate.accel,
        ui: Some(gate.ui),
    };
    let guest = Guestfs::launch(&launch)?;
    guest.mount_root()?;
    inject::inject(&guest)?;
    let mut models = BTreeSet::new();
    if guest.is_dir("/lib/modules")? {
        for kernel in guest.ls("/lib/modules")? {
            for list in ["modules.dep", "modules.builtin"] {
                let path = format!("/lib/modules/{kernel}/{list}");
                if guest.exists(&path)? {
                    models.extend(modules(&String::from_utf8_lossy(&guest.read_file(&path)?)));
                }
            }
        }
    }
    guest.close()?;
    Ok(models)
}

/// Names of the modules in modules.dep or modules.builtin.
fn modules(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter_map(|line| {
        let path = line.split(':').next()?;
        let file = path.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    })
}

/// A clone that has ended.
struct Booted<'a> {
    plan: &'a Clone,
    job: Job,
    finished: Finished,
}

fn boot<'a>(gate: &Gate<'_>, common: &Path, plan: &'a Clone) -> Result<Booted<'a>> {
    let disk = clone_disk(gate.scratch, &plan.name);
    overlay(common, &disk)?;
    let steps: Vec<Step> = gate
        .check
        .commands
        .iter()
        .map(|line| command(line))
        .collect();
    let job = Job::prepare(&Request {
        mode: Mode::Check,
        steps: &steps,
        instance: &[],
        vars: gate.vars,
        secrets: &[],
        root: gate.scratch,
        accel: gate.accel,
    })?;
    let mut nic = plan.nic.clone();
    nic.network = Network::from_word(&gate.machine.network);
    let machine = Machine {
        connection: gate.connection,
        ledger: gate.ledger,
        accel: gate.accel,
        name: format!("{}-clone-{}", gate.ui.image(), plan.name),
        disk,
        format: Format::Qcow2,
        boot: Boot::Disk,
        memory: gate.machine.memory,
        cpus: gate.machine.cpus,
        firmware: plan.firmware,
        nics: vec![nic],
        scratch: gate.scratch,
        logs: gate.logs,
    };
    let prefix = format!("clone {}: ", plan.name);
    let limits = Limits::usual(gate.accel);
    let finished = drive(&machine, &job, gate.ui, &prefix, &BTreeMap::new(), limits)?;
    Ok(Booted {
        plan,
        job,
        finished,
    })
}

fn command(line: &str) -> Step {
    let shell = Shell {
        script: None,
        run: Some(line.to_owned()),
        args: vec![],
    };
    Step {
        action: Action::Shell(shell),
        name: Some(line.to_owned()),
        when: None,
        timeout: Some(crate::units::Span::seconds(300)),
        retries: 0,
        env: BTreeMap::new(),
    }
}

fn overlay(backing: &Path, path: &Path) -> Result<()> {
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([backing, path])
        .run()
}

impl Booted<'_> {
    fn report(&self, check: &Check) -> CloneReport {
        let journal = &self.finished.journal;
        let first = |name: &str| journal.facts(name).next().unwrap_or("unknown").to_owned();
        CloneReport {
            name: self.plan.name.clone(),
            firmware: match self.plan.firmware {
                Firmware::Bios => "bios".into(),
                Firmware::Uefi => "uefi".into(),
            },
            nic: self.plan.nic.model.clone(),
            state: first("state"),
            healthy_after: journal.facts("uptime").next().and_then(|s| s.parse().ok()),
            kernel: text(&first("kernel")).unwrap_or_default(),
            machine_id: Some(first("machine-id")).filter(|id| valid_id(id)),
            accepted_units: failed_units(journal)
                .into_iter()
                .filter(|unit| check.failed_units.contains_key(unit))
                .collect(),
            commands: (1..)
                .zip(&check.commands)
                .map(|(n, command)| CommandReport {
                    command: command.clone(),
                    code: journal.steps.get(&n).copied().flatten(),
                })
                .collect(),
        }
    }
}

/// Free text of a fact, from hex.
fn text(hexed: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&hex::decode(hexed).ok()?).into_owned())
}

fn failed_units(journal: &Journal) -> Vec<String> {
    let plain = |name: String| name.chars().filter(|c| !c.is_control()).take(200).collect();
    journal
        .facts("failed-unit")
        .filter_map(text)
        .map(plain)
        .collect()
}

/// What is wrong with one clone.
fn of_clone(name: &str, finished: &Finished, job: &Job, check: &Check) -> Vec<String> {
    let journal = &finished.journal;
    if !finished.orderly() || journal.failure.is_some() {
        let why = finished
            .complaint(job)
            .unwrap_or_else(|| "it did not end well".into());
        return vec![format!("clone {name}: {why}")];
    }
    let mut problems = vec![];
    let state = journal.facts("state").next().unwrap_or("missing");
    let failed = failed_units(journal);
    let refused: Vec<_> = failed
        .iter()
        .filter(|u| !check.failed_units.contains_key(*u))
        .collect();
    match state {
        "running" | "unknown" => {}
        "degraded" if refused.is_empty() && !failed.is_empty() => {}
        "degraded" if !refused.is_empty() => {}
        other => problems.push(format!(
            "clone {name} did not come up: its state is `{other}`"
        )),
    }
    problems.extend(
        refused
            .iter()
            .map(|unit| format!("clone {name}: the unit {unit} failed")),
    );
    for (n, command) in (1..).zip(&check.commands) {
        match journal.steps.get(&n).copied().flatten() {
            Some(0) => {}
            Some(code) => problems.push(format!(
                "clone {name}: `{command}` failed with exit code {code}"
            )),
            None => problems.push(format!("clone {name}: `{command}` was not run")),
        }
    }
    if state != "unknown"
        && journal
            .facts("machine-id")
            .filter(|id| valid_id(id))
            .count()
            != 1
    {
        problems.push(format!("clone {name} has no valid machine id"));
    }
    problems
}

fn valid_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
}

/// What two machines must not share.
fn between(a: &Journal, b: &Journal) -> Vec<String> {
    let shared = [
        ("machine-id", "both clones have the same machine id"),
        ("host-key", "both clones have the same ssh host key"),
        ("random-seed", "both clones have the same random seed"),
    ];
    let same = |name: &str| {
        let of: BTreeSet<&str> = a.facts(name).collect();
        b.facts(name).any(|value| of.contains(value))
    };
    let found = shared.into_iter().filter(|(name, _)| same(name));
    found.map(|(_, problem)| problem.to_owned()).collect()
}

/// Where a clone's overlay is, for somebody who wants to look at a failed gate.
pub fn clone_disk(scratch: &Path, name: &str) -> PathBuf {
    scratch.join(format!("clone-{name}.qcow2"))
}

#[cfg(test)]
mod tests;
