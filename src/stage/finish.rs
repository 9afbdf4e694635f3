//! Finish: the files of one target, made from the sealed disk and proven.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::stage::{Context, Sealed, check};
use crate::store::Entry;
use crate::target::{self, About, Asked, Site, Source, Target};

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
    let site = Site {
        source,
        about: &about,
        gate: Some(Asked {
            subject: &subject,
            allow: &recipe.check.allow,
        }),
        machine: &recipe.machine,
        dir: context.dir,
        scratch: scratch.path(),
        ui: context.ui,
    };
    let made = target::make(target, &site, &recipe.targets, Some(sealed.digest()?))?;
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
