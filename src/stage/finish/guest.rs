//! Guests of the finish stage: a target's own steps on an overlay of the sealed disk, which is
//! sealed again, and the boots that prove an artifact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::hypervisor::{self, Format};
use crate::recipe::types::Step;
use crate::runner::drive::drive;
use crate::runner::{Job, Limits, Mode, Request};
use crate::scan::Subject;
use crate::stage::check::{self, Gate, run_gate};
use crate::stage::{Context, Sealed, configure, overlay, seal};
use crate::sysprep::{Declared, OVERLAY_CLUSTER};
use crate::target::Trial;

/// Runs `steps` on an overlay of the sealed disk, and seals it again; its path.
pub(super) fn prepare(
    context: &Context<'_>,
    sealed: &Sealed,
    steps: &[Step],
    version: &str,
    scratch: &Path,
) -> Result<PathBuf> {
    let recipe = context.recipe();
    let secrets = configure::secret_values(&recipe.secrets, &context.resolved.root)?;
    let names: Vec<String> = secrets.keys().cloned().collect();
    let accel = context.host.accel()?;
    let below = std::path::absolute(sealed.0.disk()).doing(|| "finding the sealed disk".into())?;
    overlay(scratch, &below, "prepared.qcow2", OVERLAY_CLUSTER)?;
    let disk = scratch.join("prepared.qcow2");
    configure::prepare(&disk, accel, context.ui)?;
    let job = Job::prepare(&Request {
        mode: Mode::Configure,
        steps,
        instance: &[],
        vars: &context.resolved.vars,
        secrets: &names,
        root: &context.resolved.root,
        accel,
    })?;
    let name = format!("{}-steps", context.label);
    let machine = configure::machine(context, disk.clone(), name, scratch, vec![])?;
    configure::run_job(&machine, &job, &secrets, context.ui)?;
    seal_again(context, sealed, &disk, version)?;
    Ok(disk)
}

/// The seal stage's work, once more.
fn seal_again(context: &Context<'_>, sealed: &Sealed, disk: &Path, version: &str) -> Result<()> {
    context.ui.step("sealing the disk again");
    let open = seal::Open::of(context, disk)?;
    let declared: Declared =
        serde_json::from_value(sealed.0.meta().facts["declared"].clone()).unwrap_or_default();
    open.seal(context, &sealed.0, &declared, version)?;
    open.close()
}

/// Asks the gate of the check stage about an artifact's own disk.
pub(super) fn gate(
    context: &Context<'_>,
    subject: &Subject,
    disk: &Path,
    scratch: &Path,
) -> Result<()> {
    let recipe = context.recipe();
    run_gate(&Gate {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?,
        ui: context.ui,
        disk,
        machine: &recipe.machine,
        check: &recipe.check,
        vars: &context.resolved.vars,
        passphrase: configure::passphrase(recipe, &context.resolved.root),
        subject,
        scratch,
        logs: context.logs,
    })
    .map(drop)
}

/// Boots the artifact's disk as its target does, and asks what the trial asks.
pub(super) fn try_out(
    context: &Context<'_>,
    trial: &Trial,
    disk: &Path,
    size: u64,
    scratch: &Path,
) -> Result<()> {
    context.ui.step("booting it as its target does");
    let accel = context.host.accel()?;
    let grown = scratch.join("trial.qcow2");
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([disk, &grown])
        .arg((size + trial.grow.as_bytes()).to_string())
        .run()?;
    configure::prepare(&grown, accel, context.ui)?;
    let steps: Vec<Step> = trial
        .commands
        .iter()
        .map(|line| check::command(line))
        .collect();
    let job = Job::prepare(&Request {
        mode: Mode::Check,
        steps: &steps,
        instance: &[],
        vars: &BTreeMap::new(),
        secrets: &[],
        root: scratch,
        accel,
    })?;
    let seed = match trial.seed.is_empty() {
        true => vec![],
        false => vec![seed(&trial.seed, scratch)?],
    };
    let name = format!("{}-trial", context.label);
    let machine = configure::machine(context, grown, name, scratch, seed)?;
    let limits = Limits::usual(accel);
    let finished = drive(&machine, &job, context.ui, "", &BTreeMap::new(), limits)?;
    let complaint = finished.complaint(&job);
    let failed = (1..)
        .zip(&trial.commands)
        .find(|(number, _)| finished.journal.steps.get(number).copied().flatten() != Some(0));
    match (complaint, failed) {
        (None, None) => Ok(()),
        (complaint, failed) => {
            let why = complaint.unwrap_or_else(|| {
                format!("`{}` failed", failed.map_or("", |(_, line)| line.as_str()))
            });
            Err(
                Error::gate("the artifact does not work as its target runs it")
                    .cause(why)
                    .cause(finished.kept())
                    .evidence(finished.last_words().iter().rev().take(20).rev().cloned()),
            )
        }
    }
}

/// A FAT disk by the name that cloud-init looks for.
fn seed(files: &[(String, String)], scratch: &Path) -> Result<hypervisor::Disk> {
    let path = scratch.join("seed.img");
    Program::new("mkfs.fat")
        .args(["-n", "CIDATA", "-C"])
        .arg(&path)
        .arg("512")
        .run()?;
    for (name, text) in files {
        let from = scratch.join(name);
        std::fs::write(&from, text).doing(|| format!("writing {}", from.display()))?;
        Program::new("mcopy")
            .arg("-i")
            .arg(&path)
            .arg(&from)
            .arg(format!("::{name}"))
            .run()?;
    }
    Ok(hypervisor::Disk {
        path,
        format: Format::Raw,
        serial: Some("imgforge-seed".into()),
        readonly: true,
    })
}
