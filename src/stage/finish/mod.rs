//! Finish: the files of one target, made from the sealed disk and proven.

mod guest;

use serde_json::{Value, json};

use crate::error::{Context as _, Error, Result};
use crate::stage::{Context, Sealed, check};
use crate::store::Entry;
use crate::target::{self, About, Asked, Part, Site, Source, Target, proven};
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
        os_version: super::streams::release(system),
        created: sealed.meta().created,
    }
}

/// Makes the target's files in the stage's private directory.
///
/// # Errors
/// As [`target::make`].
pub fn run(
    context: &Context<'_>,
    source: &Source,
    sealed: &Sealed,
    version: &str,
    target: &Target,
) -> Result<Value> {
    let recipe = context.recipe();
    let scratch = context.scratch()?;
    let subject = check::subject(context, sealed)?;
    let about = about(context, &sealed.0, version);
    let steps = (target.steps)(&recipe.targets);
    let prepared = match steps.is_empty() {
        true => None,
        false => {
            let disk = guest::prepare(context, sealed, &steps, version, scratch.path())?;
            let shared = scratch.path().join("shared");
            std::fs::create_dir(&shared).doing(|| "making a directory".into())?;
            Some(Source::new(disk, "qcow2", shared, context.host.accel()?))
        }
    };
    let site = Site {
        source: prepared.as_ref().unwrap_or(source),
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
    let mut made = target::make(target, &site, &recipe.targets, Some(sealed.digest()?))?;
    if let (Some(trial), Some(first)) = (target.trial, made.first()) {
        let qcow2 = first
            .about
            .get("format")
            .is_some_and(|format| format == "qcow2");
        let edited = scratch.path().join(target::DISK);
        let disk = match (qcow2, edited.exists()) {
            (true, _) => context.dir.join(&first.file),
            (false, true) => edited,
            // The same to a guest, as was compared.
            (false, false) => site.source.disk().to_owned(),
        };
        let disk = std::path::absolute(&disk).doing(|| "finding the disk".into())?;
        let size = target::size_of(&disk, "qcow2")?;
        let trial = trial(&recipe.targets, &about, Size::bytes(size));
        guest::gate(context, &subject, &disk, scratch.path())?;
        guest::try_out(context, &trial, &disk, size, scratch.path())?;
        let tried = made.iter_mut().filter_map(|told| told.proof.as_mut());
        for proof in tried.filter(|proof| !proof.passed()) {
            proof.proven.extend([
                proven(Part::Scanned, "imgforge disk scan"),
                proven(Part::Booted, "two clones"),
                proven(Part::Booted, "a machine as its target runs it"),
            ]);
        }
    }
    for told in &made {
        if !told.proof.as_ref().is_some_and(target::Proof::passed) {
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
        "note": names.join(", "),
    }))
}
