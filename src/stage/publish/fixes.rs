//! What is new in an image since the revision that its channel has.

use std::collections::BTreeSet;
use std::path::Path;

use super::Request;
use crate::error::Result;
use crate::repository::State;
use crate::repository::manifest::FixesRecord;
use crate::repository::views::packages;
use crate::sbom::Contents;
use crate::sbom::diff::{self, Diff};
use crate::time::now;
use crate::ui::StageUi;
use crate::updates::{self, Packages, Place, Settings, Subject, Vulnerabilities};

/// Compares the packages with those of the revision that `channel` of the repository at `root` has for the
/// architecture; nothing where it has none, or one of the two has no list of its packages.
///
/// # Errors
/// When what this host knows of advisories cannot be written.
pub(super) fn since(
    request: &Request<'_>,
    root: &Path,
    channel: &str,
    ui: &StageUi,
) -> Result<Option<FixesRecord>> {
    let plan = request.plan;
    let (name, arch) = (plan.name(), plan.resolved.recipe.machine.arch.as_str());
    let old = || {
        // A new repository has no state yet.
        let state = State::read(root).ok()?;
        let image = state.images.get(name)?;
        let number = image.current(channel, arch)?;
        let bill = packages::bill(root, image.revisions.get(&number)?);
        Some((number, bill.ok()??))
    };
    let new = Contents::read(request.sealed.entry().path());
    let (Some((number, old)), Some(new)) = (old(), new) else {
        return Ok(None);
    };
    let Diff {
        added,
        removed,
        changed,
        ..
    } = diff::packages(new.kind, &old.packages, &new.packages);
    Ok(Some(FixesRecord {
        since: number,
        added,
        updated: changed,
        removed,
        closed: closed(request, [old.into(), new.into()], ui)?,
    }))
}

/// Advisories about the packages of the first that are not about those of the second.
fn closed(request: &Request<'_>, both: [Packages; 2], ui: &StageUi) -> Result<Vec<String>> {
    if request.config.advisories.is_empty() {
        return Ok(vec![]);
    }
    let subjects = both.map(|packages| Subject {
        at: Place {
            image: request.plan.name().to_owned(),
            ..Place::default()
        },
        contents: Ok(packages),
    });
    let state = request.store.planned_in();
    let settings = Settings::of(request.config, request.root, state, request.offline)?;
    let Vulnerabilities {
        findings, problems, ..
    } = updates::vulnerabilities(&settings, &subjects, now())?;
    for why in &problems {
        ui.ui().warning(format!(
            "the manifest does not say which advisories are closed: {why}"
        ));
    }
    if !problems.is_empty() {
        // What nobody could look for is not closed.
        return Ok(vec![]);
    }
    let ids = |number: usize| -> BTreeSet<&String> {
        let findings = findings.get(number).into_iter().flatten();
        findings.map(|finding| &finding.id).collect()
    };
    Ok(ids(0).difference(&ids(1)).map(|id| (*id).clone()).collect())
}
