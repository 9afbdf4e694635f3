//! The configure stage: boots the disk, and the runner in the guest executes the recipe's steps.

mod grow;
mod row;

pub use row::STAGE;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::blame;
use crate::distro;
use crate::error::{Error, Result};
use crate::guest::{Drive, Guestfs, Key, Launch};
use crate::host::accel::Accel;
use crate::host::qemu_img::{DiskFormat, resize};
use crate::hypervisor::{Boot, Nic};
use crate::machine::{Arch, Network};
use crate::proxy::{self, Proxy};
use crate::recipe::secrets;
use crate::runner::drive::{Finished, Machine, drive};
use crate::runner::{Job, Limits, Mode, Relay, Request, inject};
use crate::stage::Context;
use crate::stage::install::{BaseFacts, Installed, SourcesFile};
use crate::steps::{self, Step, Tools};
use crate::store::{Facts, Layer};
use crate::sysprep::{Declared, OVERLAY_CLUSTER};
use crate::toolbox;
use crate::ui::StageUi;

/// Puts the runner into the qcow2 overlay `disk` of a machine, whose encrypted volumes one of these
/// keys opens, and returns the code name of its release; empty when it has none.
///
/// # Errors
/// When the disk holds no operating system that the runner knows, or one of another architecture, or no
/// key opens its root.
fn prepare(
    disk: &Path,
    accel: Accel,
    arch: Arch,
    ui: &StageUi,
    keys: &[Key],
    work: &Work<'_>,
) -> Result<String> {
    ui.step("putting the runner into the disk");
    let launch = Launch {
        drives: &[Drive::writable(disk, "qcow2")],
        accel,
        ui: Some(ui),
    };
    let guest = Guestfs::launch_unlocked(&launch, keys)?;
    let os = guest.mount_root()?;
    guest.runs_on(&os, arch)?;
    if work.grow {
        grow::root(&guest, &os, ui)?;
    }
    inject::inject(&guest, accel.on(arch))?;
    inject::hold_instance(&guest)?;
    if let Some(file) = &work.sources {
        guest.write(&file.path, file.build.as_bytes())?;
    }
    let release = guest.read_file("/etc/os-release").unwrap_or_default();
    guest.close()?;
    let release = String::from_utf8_lossy(&release);
    let codename = distro::os_release(&release, "VERSION_CODENAME");
    Ok(codename.unwrap_or_default().to_owned())
}

/// Runs `job` on `machine`, whose disk was prepared.
///
/// # Errors
/// When a step fails, or the guest ends in any way but after the runner's final report; with the
/// last lines, the log's path and the command that resumes.
pub fn run_job(
    machine: &Machine<'_>,
    job: &Job,
    secrets: &BTreeMap<String, Vec<u8>>,
    ui: &StageUi,
) -> Result<Finished> {
    ui.step("starting the guest");
    let finished = drive(machine, job, ui, "", secrets, Limits::usual(machine.accel))?;
    match finished.complaint(job) {
        Some(complaint) => Err(finished.error(complaint)),
        None => Ok(finished),
    }
}

/// The recipe's machine with the qcow2 overlay `disk`, into which the runner was put.
///
/// # Errors
/// When the host cannot run guests.
fn machine<'a>(
    context: &'a Context<'_>,
    disk: PathBuf,
    name: String,
    scratch: &'a Path,
) -> Result<Machine<'a>> {
    let recipe = context.recipe();
    Ok(Machine {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?.on(recipe.machine.arch),
        name,
        disk,
        format: DiskFormat::Qcow2,
        boot: Boot::Disk,
        memory: recipe.machine.memory,
        cpus: recipe.machine.cpus,
        arch: recipe.machine.arch,
        firmware: recipe.machine.firmware(),
        nics: vec![Nic::on(&recipe.machine.network)],
        more: vec![],
        relay: None,
        passphrase: secrets::passphrase(recipe, &context.resolved.root),
        scratch,
        logs: context.logs,
    })
}

/// What the stage reports, of every part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configured {
    /// What the disk below knows.
    pub install: BaseFacts,
    /// What the recipes below declare.
    pub declared: Declared,
}

impl Facts for Configured {
    const STAGE: &'static str = "configure";
}

/// The first part runs on the installed disk; a recipe without steps is configured by that.
impl From<Installed> for Configured {
    fn from(Installed { install, declared }: Installed) -> Self {
        Configured { install, declared }
    }
}

/// Runs a part of the recipe's steps on an overlay of `below`; the last part also puts the
/// `instance` steps in place.
///
/// # Errors
/// As [`run_job`]; also when a secret is missing.
pub fn run(
    context: &Context<'_>,
    below: &Layer<Configured>,
    steps: Range<usize>,
    last: bool,
) -> Result<Configured> {
    let recipe = context.recipe();
    let (first, before) = (steps.start == 0, steps.start);
    let steps = &recipe.configure[steps];
    let work = Work {
        steps,
        instance: if last { &recipe.instance } else { &[] },
        secrets: secrets(context, steps)?,
        name: context.label.clone(),
        sources: None,
        grow: first && grow::wanted(context.resolved),
    };
    // What a step writes and removes again has to be gone: see [`crate::sysprep::OVERLAY_CLUSTER`].
    let disk = match work.secrets.is_empty() {
        true => context.overlay(below.entry())?,
        false => context.overlay_with(below.entry(), OVERLAY_CLUSTER)?,
    };
    if work.grow && context.resolved.grows() {
        resize(&disk, recipe.machine.disk)?;
    }
    let scratch = context.scratch()?;
    let finished = execute(context, disk, &work, scratch.path())?;
    blame::note_steps(context.dir, ran(context, steps, before, &finished))?;
    Ok(below.facts().clone())
}

/// The steps that ran, of which `before` are those of earlier parts.
fn ran(
    context: &Context<'_>,
    steps: &[Step],
    before: usize,
    finished: &Finished,
) -> Vec<blame::Step> {
    let times = finished.journal.times.iter();
    let step = |(number, (began, ended)): (&u32, &(i64, i64))| {
        let index = (*number as usize).checked_sub(1)?;
        Some(blame::Step {
            number: (before + index + 1) as u32,
            title: steps.get(index)?.title(),
            place: context.resolved.place_of_step(before + index),
            began: *began,
            ended: *ended,
        })
    };
    times.filter_map(step).collect()
}

/// What runs in one guest.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) steps: &'a [Step],
    /// Steps that are put in place for the first boot of each machine.
    pub(super) instance: &'a [Step],
    /// What [`secrets`] gives.
    pub(super) secrets: BTreeMap<String, Vec<u8>>,
    /// Start of the domain's name, and of its logs.
    pub(super) name: String,
    /// The package sources that the steps read, where the disk may have others.
    pub(super) sources: Option<SourcesFile>,
    /// Whether the root file system gets what the disk has behind it.
    pub(super) grow: bool,
}

/// Everything that steps may know and the image must not: the recipe's secrets and keys of agents.
pub(super) fn secrets(context: &Context<'_>, steps: &[Step]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut secrets = secrets::values(&context.recipe().secrets, &context.resolved.root)?;
    secrets.extend(steps::secrets(steps, context.host.state())?);
    Ok(secrets)
}

/// Boots the qcow2 overlay `disk` and does the work.
///
/// # Errors
/// As [`run_job`].
pub(super) fn execute(
    context: &Context<'_>,
    disk: PathBuf,
    work: &Work<'_>,
    scratch: &Path,
) -> Result<Finished> {
    let recipe = context.recipe();
    let accel = context.host.accel()?;
    let arch = recipe.machine.arch;
    let names: Vec<String> = work.secrets.keys().cloned().collect();
    let keys = secrets::luks_keys(recipe, &context.resolved.root);
    let codename = prepare(&disk, accel, arch, context.ui, &keys, work)?;
    let (root, store) = (context.files.root(), context.host.store());
    let tools = Tools::prepare(
        &toolbox::Request {
            store: &store,
            ledger: context.host.ledger()?,
            mirrors: &context.config.mirrors,
            mirror: &recipe.mirrors.build,
            arch: recipe.machine.arch,
            fetching: context.fetching,
            cache: &context.cache(),
            log: &context.logs.join(format!("{}-toolbox.log", work.name)),
            ui: context.ui,
        },
        work.steps,
        &root,
        &codename,
    )?;
    let request = Request {
        mode: Mode::Configure,
        steps: work.steps,
        instance: work.instance,
        vars: &context.resolved.vars,
        secrets: &names,
        root: &root,
        accel: accel.on(arch),
    };
    let proxy = relay(context, work, scratch)?;
    let told = proxy.as_ref().map(|proxy| Relay {
        address: proxy.for_clients(),
        replays: context.fetching.locked().is_some(),
    });
    let job = Job::prepare_with(&request, &tools, told.as_ref())?;
    let mut machine = machine(context, disk, work.name.clone(), scratch)?;
    machine.relay = proxy.as_ref().map(Proxy::port);
    let ran = run_job(&machine, &job, &work.secrets, context.ui);
    if let Some(proxy) = proxy {
        context.fetching.add(proxy.finish());
    }
    ran
}

/// The proxy for the package managers of a guest on the network `user`, to all servers that it reaches.
///
/// # Errors
/// When it cannot start, or a lock binds what is fetched, and the guest fetches by itself.
fn relay(context: &Context<'_>, work: &Work<'_>, scratch: &Path) -> Result<Option<Proxy>> {
    let network = &context.recipe().machine.network;
    let locked = context.fetching.locked();
    if *network == Network::User {
        let settings = context.relay(scratch, &format!("{}-proxy.log", work.name));
        return Proxy::start(proxy::Settings {
            open: Some(context.host.settings().host_ports.clone()),
            ..settings
        })
        .map(Some);
    }
    match locked {
        Some(locked) => Err(Error::usage(format!(
            "{} binds only guests on the network `user`",
            locked.file()
        ))
        .cause(format!("on `{network}` the guest fetches by itself"))
        .hint("write `machine: {network: user}`, or build without --locked")),
        None => Ok(None),
    }
}
