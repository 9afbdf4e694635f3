//! What is asked before the first stage works.

use crate::error::{Error, Result};
use crate::pipeline::plan::{Plan, Planned, Work};
use crate::recipe::Resolved;
use crate::recipe::types::Install;
use crate::stage::{self, StageId};
use crate::target;

/// A missing secret is told before the first stage works, not after it.
pub(super) fn have_secrets(plan: &Plan) -> Result<()> {
    let below = plan.base.as_deref().map_or(Ok(()), have_secrets);
    let Resolved { recipe, root, .. } = &plan.resolved;
    let runs = |stage| {
        plan.stages
            .iter()
            .any(|planned| !planned.cached && planned.stage == stage)
    };
    if runs(StageId::Configure) || runs(StageId::Check) || runs(StageId::Finish) {
        stage::configure::secret_values(&recipe.secrets, root)?;
    } else if let (true, Some(Install::VirtInstall(method))) =
        (runs(StageId::Install), &recipe.install)
    {
        let text = std::fs::read_to_string(root.join(&method.answers)).unwrap_or_default();
        let used = stage::install::virt_install::answers::used_secrets(&text, recipe);
        stage::configure::secret_values(&used, root)?;
    }
    below
}

/// Whether a target runs steps in a guest.
fn runs_steps(name: &str, resolved: &Resolved) -> bool {
    let targets = &resolved.recipe.targets;
    target::find(name).is_some_and(|target| !(target.steps)(targets).is_empty())
}

/// `--offline`: what would have to be fetched is named instead.
pub(super) fn refuse_fetching(plan: &Plan) -> Result<()> {
    let fetching = |planned: &&&Planned| {
        let steps = match planned.work {
            Work::Finish(name) => runs_steps(name, &plan.resolved),
            _ => matches!(planned.stage, StageId::Install | StageId::Configure),
        };
        !planned.cached && steps
    };
    let all = plan.all();
    let missing: Vec<String> = all
        .iter()
        .filter(fetching)
        .map(|planned| {
            format!(
                "{} {} ({})",
                planned.image,
                planned.label,
                planned.why.join("; ")
            )
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(
        Error::host(format!("{} cannot be built offline", plan.image()))
            .cause("the store lacks the result of these stages, which use the network:")
            .evidence(missing)
            .hint("build once without --offline"),
    )
}
