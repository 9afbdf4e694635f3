//! What is asked before the first stage works.

use std::collections::BTreeSet;

use crate::doctor::preflight;
use crate::error::{Error, Result};
use crate::hypervisor::{Host, Settings};
use crate::pipeline::clean;
use crate::recipe::Resolved;
use crate::recipe::secrets;
use crate::recipe::types::{Base, Install};
use crate::stage::plan::{Part, Plan, Planned};
use crate::stage::{self, StageId};
use crate::targets;

/// Clears what dead processes left, makes room, and asks whether the host is ready for `plan`,
/// and to `publish` its image.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) with everything that is missing.
pub(super) fn prepare(host: &Host, plan: &Plan, publish: bool) -> Result<()> {
    let (store, Settings { ui, max_size, .. }) = (host.store(), host.settings());
    for cleared in clean::sweep(&store, ui)? {
        ui.notice(format!("cleared after an earlier run: {cleared}"));
    }
    if let Some(limit) = max_size {
        for gone in store.shrink(*limit)? {
            ui.notice(format!("the store is full: removed {}", gone.name));
        }
    }
    let mut needs = BTreeSet::new();
    let mut targets = vec![];
    let chain = std::iter::successors(Some(plan), |plan| plan.below());
    for plan in chain {
        for planned in plan.stages.iter().filter(|planned| !planned.cached) {
            let row = planned.stage.row();
            needs.extend((row.needs)(&plan.resolved, &planned.part));
            targets.extend(match &planned.part {
                Part::Target(target) => Some(target),
                Part::Whole | Part::Steps { .. } => None,
            });
        }
    }
    if publish {
        let publishing = StageId::Publish.row();
        needs.extend((publishing.needs)(&plan.resolved, &Part::Whole));
    }
    let machine = &plan.resolved.recipe.machine;
    targets::need_tools(targets, machine.arch)?;
    preflight(&needs, machine, host.state())
}

/// A missing secret is told before the first stage works, not after it.
pub(super) fn have_secrets(plan: &Plan) -> Result<()> {
    let below = plan.below().map_or(Ok(()), have_secrets);
    let Resolved { recipe, root, .. } = &plan.resolved;
    let mut runs = plan.stages.iter().filter(|planned| !planned.cached);
    if runs.clone().any(|planned| planned.stage.row().secrets) {
        secrets::values(&recipe.secrets, root)?;
    } else if let (true, Base::Install(Install::VirtInstall(method))) = (
        runs.any(|planned| planned.stage == StageId::Install),
        &plan.base,
    ) {
        let text = std::fs::read_to_string(root.join(method.answers.path())).unwrap_or_default();
        let used = stage::install::virt_install::answers::used_secrets(&text, recipe);
        secrets::values(&used, root)?;
    }
    below
}

/// Refuses `extra-args` that nobody has `allowed`: whoever writes them has the rights of who builds.
pub(super) fn may_have_arguments(plan: &Plan, allowed: bool) -> Result<()> {
    let below = plan.below();
    below.map_or(Ok(()), |base| may_have_arguments(base, allowed))?;
    let runs = plan
        .stages
        .iter()
        .any(|planned| !planned.cached && planned.stage == StageId::Install);
    match &plan.base {
        Base::Install(Install::VirtInstall(method)) if runs => {
            arguments_allowed(plan.image(), &method.extra_args, allowed)
        }
        _ => Ok(()),
    }
}

fn arguments_allowed(image: &str, extra_args: &[String], allowed: bool) -> Result<()> {
    if allowed || extra_args.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the recipe {image} adds arguments to virt-install's command line, and root runs it"
    ))
    .cause("they can name any disk of this host and any option of QEMU")
    .evidence(extra_args.iter().cloned())
    .hint("read them, then build with --allow-extra-args; an ordinary user needs no such word"))
}

/// `--offline`: what would have to be fetched is named instead.
pub(super) fn refuse_fetching(plan: &Plan) -> Result<()> {
    let fetching = |planned: &&&Planned| !planned.cached && planned.fetches();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_roots_virt_install_are_asked_for() {
        let extra = ["--disk".to_owned(), "/dev/sda".to_owned()];
        arguments_allowed("web", &extra, true).unwrap();
        arguments_allowed("web", &[], false).unwrap();
        let error = arguments_allowed("web", &extra, false).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert_eq!(error.evidence_lines(), extra);
        assert!(error.hint_text().unwrap().contains("--allow-extra-args"));
    }
}
