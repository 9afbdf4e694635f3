//! Finish: the files of one target, made from the sealed disk and proven.

mod guest;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::host::qemu_img;
use crate::repository::gate::GateReport;
use crate::scan::Subject;
use crate::stage::check::{self, Basis};
use crate::stage::plan::{Part, Parts, Request};
use crate::stage::seal::Sealed;
use crate::stage::{Context, OfSealed, Stage, inputs};
use crate::steps::Step;
use crate::store::inputs::Inputs;
use crate::store::{Facts, Layer, Store};
use crate::targets::{
    self, About, ArtifactRecord, Format, LeftoverPolicy, SystemDisk, TargetContext, Wanted, proven,
};

/// What the stage reports, of each target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    sealed: String,
    pub(crate) target: String,
    /// Its files.
    pub artifacts: Vec<ArtifactRecord>,
    /// What the gate measured of its own disk, where it has one.
    pub gate: Option<GateReport>,
    /// A line for people.
    pub note: String,
}

impl Facts for Finished {
    const STAGE: &'static str = "finish";

    fn note(&self) -> Option<&str> {
        Some(&self.note)
    }
}

/// The stage's row. A target has a version of its own.
pub const STAGE: Stage = Stage {
    name: Finished::STAGE,
    makes_disk: false,
    fetches: false,
    secrets: true,
    below: "the sealed disk",
    parts,
    needs: |_, part| match part {
        Part::Target(target) if target.guests() > 0 => check::GUESTS,
        _ => &[],
    },
    has: Store::has::<Finished>,
};

/// The targets that the recipe has and the command line wants.
fn parts<'a>(request: &Request<'a>) -> Parts<'a> {
    let only = request.targets;
    let all = request.resolved.recipe.targets.wanted().into_iter();
    all.filter(|target| only.is_empty() || only.iter().any(|name| name == target.name))
        .map(|target| {
            let inputs = target.clone();
            let inputs = move |request: &Request<'a>| depends_on(request, &inputs);
            (Part::Target(target), Box::new(inputs) as _)
        })
        .collect()
}

/// Inputs of one target.
fn depends_on(request: &Request<'_>, target: &Wanted) -> Result<Inputs> {
    let Request {
        resolved, digests, ..
    } = *request;
    let recipe = &resolved.recipe;
    let mut inputs = request.begin(&STAGE, target.version);
    inputs.value("target", target.name);
    let name = format!("targets.{}", target.name);
    inputs.fields(&name, &target.written);
    inputs.value("summary", &recipe.summary);
    let steps = target.options.steps();
    let basis = Basis::of(resolved, request.config);
    basis.add_to(&mut inputs, target.guests() > 0);
    for (index, each) in steps.iter().enumerate() {
        let place = format!("{name}.step[{index}]");
        inputs::step(&mut inputs, resolved, &place, each, digests)?;
    }
    if !steps.is_empty() {
        inputs.value("seal.operations", &recipe.seal.operations);
    }
    Ok(inputs)
}

impl OfSealed for Finished {
    fn sealed(&self) -> &str {
        &self.sealed
    }
}

/// What the artifacts of a sealed disk say about the image.
fn about(context: &Context<'_>, sealed: &Layer<Sealed>) -> About {
    let recipe = context.recipe();
    let os = &sealed.facts().os;
    About {
        name: recipe.name.clone(),
        version: context.version.to_owned(),
        title: recipe.title().to_owned(),
        os: os.distro.clone(),
        os_version: targets::streams::release(os),
        created: sealed.entry().meta().created,
    }
}

/// Makes the target's files in the stage's private directory.
///
/// # Errors
/// As [`targets::make`].
pub fn run(
    context: &Context<'_>,
    source: &SystemDisk,
    sealed: &Layer<Sealed>,
    target: &Wanted,
) -> Result<Finished> {
    let recipe = context.recipe();
    let scratch = context.scratch()?;
    let steps = target.options.steps();
    let subject = check::subject_with(context, sealed, &steps)?;
    let about = about(context, sealed);
    let below = TargetContext {
        source,
        about: &about,
        gate: Some(LeftoverPolicy {
            subject: &subject,
            allow: &recipe.check.allow,
        }),
        proving: true,
        machine: &recipe.machine,
        dir: context.dir,
        scratch: scratch.path(),
        ui: context.ui,
    };
    let prepared = prepared(context, sealed, target, &below, &steps)?;
    let site = TargetContext {
        source: prepared.as_ref().unwrap_or(source),
        ..below
    };
    targets::ask(target, &site)?;
    let mut made = targets::make(target, &site, Some(sealed.digest()?))?;
    let report = run_trial(context, target, &site, &subject, &mut made)?;
    for artifact in &made {
        if !artifact.proof.as_ref().is_some_and(targets::Proof::passed) {
            return Err(Error::internal(format!(
                "the target {} did not prove {}",
                target.name, artifact.file
            )));
        }
    }
    let names: Vec<&str> = made.iter().map(|artifact| artifact.file.as_str()).collect();
    Ok(Finished {
        sealed: sealed.digest()?.to_owned(),
        target: target.name.to_owned(),
        note: names.join(", "),
        artifacts: made,
        gate: report,
    })
}

/// The disk on which the target's own steps have run, if it has some.
fn prepared(
    context: &Context<'_>,
    sealed: &Layer<Sealed>,
    target: &Wanted,
    below: &TargetContext<'_>,
    steps: &[Step],
) -> Result<Option<SystemDisk>> {
    if steps.is_empty() {
        return Ok(None);
    }
    targets::preflight(target, below)?;
    let accel = below.source.accel().on(below.machine.arch);
    let inside = below.source.guests(accel);
    let disk = guest::prepare(context, sealed, steps, below.scratch)?;
    drop(inside);
    let shared = below.scratch.join("shared");
    std::fs::create_dir(&shared).doing(|| "making a directory".into())?;
    Ok(Some(below.source.derived(disk, shared)))
}

/// The gate of what holds another disk than the sealed one; its report.
fn run_trial(
    context: &Context<'_>,
    target: &Wanted,
    site: &TargetContext<'_>,
    subject: &Subject,
    made: &mut [ArtifactRecord],
) -> Result<Option<GateReport>> {
    let (Some(test), Some(first)) = (target.options.boot_test(site.about), made.first()) else {
        return Ok(None);
    };
    let disk = disk_of(site, first)?;
    let size = qemu_img::info(&disk, "qcow2")?.virtual_size;
    let accel = site.source.accel().on(site.machine.arch);
    let inside = site.source.guests(accel);
    let report = guest::gate(context, subject, &test, (&disk, size), site.scratch)?;
    drop(inside);
    let proofs = made
        .iter_mut()
        .filter_map(|artifact| artifact.proof.as_mut());
    for proof in proofs.filter(|proof| !proof.passed()) {
        proof.proven.extend([
            proven(targets::CheckKind::Scanned, "imgforge disk scan"),
            proven(
                targets::CheckKind::Booted,
                "two machines as its target runs them",
            ),
        ]);
    }
    Ok(Some(report))
}

/// The disk in an artifact, as a qcow2 by its absolute path.
fn disk_of(site: &TargetContext<'_>, first: &ArtifactRecord) -> Result<PathBuf> {
    let qcow2 = first.about.format == Format::Qcow2;
    let edited = site.scratch.join(targets::DISK);
    let disk = match (qcow2, edited.exists()) {
        (true, _) => site.dir.join(&first.file),
        (false, true) => edited,
        // The same to a guest, as was compared.
        (false, false) => site.source.disk().to_owned(),
    };
    std::path::absolute(&disk).doing(|| "finding the disk".into())
}
