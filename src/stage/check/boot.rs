//! Boots a clone, with the runner in its throw-away overlay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Gate;
use super::plan::CloneMachine;
use crate::error::Result;
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::qemu_img::{self, DiskFormat};
use crate::hypervisor::Boot;
use crate::runner::drive::{Finished, Machine, drive};
use crate::runner::{Job, Limits, Mode, Request, inject};
use crate::steps::{Action, Shell, Step};

/// Puts the runner into the overlay and says which network cards the guest's kernels drive.
pub(super) fn prepare(disk: &Path, gate: &Gate<'_>) -> Result<BTreeSet<String>> {
    gate.ui.step("putting the runner into a throw-away overlay");
    let launch = Launch {
        drives: &[Drive::writable(disk, "qcow2")],
        accel: gate.accel,
        ui: Some(gate.ui),
    };
    let guest = Guestfs::launch_unlocked(&launch, &gate.subject.luks_keys)?;
    match gate.os {
        Some(os) => {
            guest.mount_known(os)?;
            guest.runs_on(os, gate.machine.arch)?;
        }
        None => guest.runs_on(&guest.mount_root()?, gate.machine.arch)?,
    }
    inject::inject(&guest, gate.guest_accel())?;
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
pub(super) fn modules(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter_map(|line| {
        let path = line.split(':').next()?;
        let file = path.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    })
}

/// A clone that has ended.
pub(super) struct Booted<'a> {
    pub(super) plan: &'a CloneMachine,
    pub(super) job: Job,
    pub(super) finished: Finished,
}

/// Boots a clone of `common` and sees its job through.
pub(super) fn boot<'a>(
    gate: &Gate<'_>,
    common: &Path,
    plan: &'a CloneMachine,
) -> Result<Booted<'a>> {
    let disk = clone_disk(gate.scratch, &plan.name);
    qemu_img::create(&disk, Some((common, "qcow2")), None, None)?;
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
        accel: gate.guest_accel(),
    })?;
    let mut nic = plan.nic.clone();
    nic.network = Some(gate.machine.network.clone());
    let nics = std::iter::once(nic).chain(plan.idle.clone()).collect();
    let machine = Machine {
        connection: gate.connection,
        ledger: gate.ledger,
        accel: gate.guest_accel(),
        name: format!("{}-{}-{}", gate.ui.image(), gate.named("clone"), plan.name),
        disk,
        format: DiskFormat::Qcow2,
        boot: Boot::Disk,
        arch: gate.machine.arch,
        memory: gate.machine.memory,
        cpus: gate.machine.cpus,
        firmware: plan.firmware,
        nics,
        more: gate.more.to_vec(),
        passphrase: gate.passphrase.clone(),
        relay: None,
        scratch: gate.scratch,
        logs: gate.logs,
    };
    let prefix = format!("clone {}: ", plan.name);
    let limits = Limits::usual(machine.accel);
    let finished = drive(&machine, &job, gate.ui, &prefix, &BTreeMap::new(), limits)?;
    Ok(Booted {
        plan,
        job,
        finished,
    })
}

pub(super) fn command(line: &str) -> Step {
    let shell = Shell::Run(line.to_owned());
    Step {
        timeout: Some(crate::units::Span::seconds(300)),
        ..Step::named(line, Action::Shell(shell))
    }
}

/// Where a clone's overlay is, for somebody who wants to look at a failed gate.
pub fn clone_disk(scratch: &Path, name: &str) -> PathBuf {
    scratch.join(format!("clone-{name}.qcow2"))
}
