//! Finish: the files of one target, made from the sealed disk and proven.

mod guest;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{Context as _, Error, Result};
use crate::recipe::types::Step;
use crate::scan::Subject;
use crate::stage::{Context, Sealed, check};
use crate::store::Entry;
use crate::targets::{self, About, Asked, Part, Site, Source, Target, Told, proven};
use crate::units::Size;

/// What the artifacts of a sealed disk say about the image.
pub fn about(context: &Context<'_>, sealed: &Entry, version: &str) -> About {
    let recipe = context.recipe();
    let system = &sealed.meta().facts["os"];
    About {
        name: recipe.name.clone(),
        version: version.to_owned(),
        title: match recipe.summary.as_str() {
            "" => recipe.name.clone(),
            summary => summary.to_owned(),
        },
        os: system["distro"].as_str().unwrap_or("linux").to_owned(),
        os_version: targets::streams::release(system),
        created: sealed.meta().created,
    }
}

/// Makes the target's files in the stage's private directory.
///
/// # Errors
/// As [`targets::make`].
pub fn run(
    context: &Context<'_>,
    source: &Source,
    sealed: &Sealed,
    version: &str,
    target: &Target,
) -> Result<Value> {
    let recipe = context.recipe();
    let scratch = context.scratch()?;
    let steps = (target.steps)(&recipe.targets);
    let subject = check::subject_with(context, sealed, &steps)?;
    let about = about(context, &sealed.0, version);
    let below = Site {
        source,
        about: &about,
        gate: Some(Asked {
            subject: &subject,
            allow: &recipe.check.allow,
        }),
        proving: true,
        machine: &recipe.machine,
        dir: context.dir,
        scratch: scratch.path(),
        ui: context.ui,
    };
    let prepared = prepared(context, sealed, version, target, &below, &steps)?;
    let site = Site {
        source: prepared.as_ref().unwrap_or(source),
        ..below
    };
    targets::ask(target, &site)?;
    let mut made = targets::make(target, &site, &recipe.targets, Some(sealed.digest()?))?;
    let report = tried(context, target, &site, &subject, &mut made)?;
    for told in &made {
        if !told.proof.as_ref().is_some_and(targets::Proof::passed) {
            return Err(Error::internal(format!(
                "the target {} did not prove {}",
                target.name, told.file
            )));
        }
    }
    let names: Vec<&str> = made.iter().map(|told| told.file.as_str()).collect();
    Ok(json!({
        "sealed": sealed.digest()?,
        "target": target.name,
        "artifacts": made,
        "gate": report,
        "note": names.join(", "),
    }))
}

/// The disk on which the target's own steps have run, if it has some.
fn prepared(
    context: &Context<'_>,
    sealed: &Sealed,
    version: &str,
    target: &Target,
    below: &Site<'_>,
    steps: &[Step],
) -> Result<Option<Source>> {
    if steps.is_empty() {
        return Ok(None);
    }
    targets::foresee(target, below, &context.recipe().targets)?;
    let inside = below.source.guests();
    let disk = guest::prepare(context, sealed, steps, version, below.scratch)?;
    drop(inside);
    let shared = below.scratch.join("shared");
    std::fs::create_dir(&shared).doing(|| "making a directory".into())?;
    Ok(Some(below.source.derived(disk, shared)))
}

/// The gate of what holds another disk than the sealed one; its report.
fn tried(
    context: &Context<'_>,
    target: &Target,
    site: &Site<'_>,
    subject: &Subject,
    made: &mut [Told],
) -> Result<Value> {
    let (Some(trial), Some(first)) = (target.trial, made.first()) else {
        return Ok(Value::Null);
    };
    let disk = disk_of(site, first)?;
    let size = targets::size_of(&disk, "qcow2")?;
    let trial = trial(&context.recipe().targets, site.about, Size::bytes(size));
    let inside = site.source.guests();
    let report = guest::gate(context, subject, &trial, (&disk, size), site.scratch)?;
    drop(inside);
    let proofs = made.iter_mut().filter_map(|told| told.proof.as_mut());
    for proof in proofs.filter(|proof| !proof.passed()) {
        proof.proven.extend([
            proven(Part::Scanned, "imgforge disk scan"),
            proven(Part::Booted, "two machines as its target runs them"),
        ]);
    }
    Ok(json!(report))
}

/// The disk in an artifact, as a qcow2 by its absolute path.
fn disk_of(site: &Site<'_>, first: &Told) -> Result<PathBuf> {
    let qcow2 = first
        .about
        .get("format")
        .is_some_and(|format| format == "qcow2");
    let edited = site.scratch.join(targets::DISK);
    let disk = match (qcow2, edited.exists()) {
        (true, _) => site.dir.join(&first.file),
        (false, true) => edited,
        // The same to a guest, as was compared.
        (false, false) => site.source.disk().to_owned(),
    };
    std::path::absolute(&disk).doing(|| "finding the disk".into())
}
