//! Locks what playbooks require, before the plan that depends on the lock is carried out.

use crate::distro;
use crate::error::Result;
use crate::pipeline::{Options, Session};
use crate::recipe::types::{Action, Base, Install};
use crate::stage::StageId;
use crate::stage::plan::{Plan, Planned};
use crate::toolbox::{self, Request, collections};

/// Writes the locks that are missing; whether it wrote one, so that the plan is out of date.
///
/// # Errors
/// When something cannot be fetched or written.
pub(super) fn lock(session: &Session, options: &Options, plan: &Plan) -> Result<bool> {
    let below = match plan.below() {
        Some(base) => lock(session, options, base)?,
        None => false,
    };
    let runs = |stage: &Planned| stage.stage == StageId::Configure && !stage.cached;
    let (root, recipe) = (&plan.resolved.root, &plan.resolved.recipe);
    let missing = recipe
        .configure
        .iter()
        .filter_map(|step| match &step.action {
            Action::Ansible(ansible) => ansible.requirements.as_deref(),
            _ => None,
        });
    let missing: Vec<_> = missing
        .map(|written| root.join(written))
        .filter(|path| !collections::lock_path(path).exists())
        .collect();
    let Some(codename) = codename(plan) else {
        return Ok(below);
    };
    if missing.is_empty() || options.offline || !plan.stages.iter().any(runs) {
        return Ok(below);
    }
    let ui = session.ui.stage(plan.image(), "lock");
    session.store.prepare()?;
    let request = Request {
        store: &session.store,
        ledger: session.host.ledger()?,
        config: &session.config,
        mirror: &recipe.mirrors.build,
        arch: recipe.machine.arch,
        ui: &ui,
    };
    let toolbox = toolbox::ansible(&request, codename)?;
    for path in missing {
        let galaxy = collections::install(&request, &toolbox, &path)?;
        let written = collections::lock(&path, &galaxy)?;
        session.ui.notice(format!(
            "wrote {}: keep it with the recipe",
            written.display()
        ));
    }
    Ok(true)
}

/// The code name of the release that the chain begins with, where the recipe tells it.
fn codename(plan: &Plan) -> Option<&str> {
    let by_osinfo = |osinfo: &str| {
        let mut suites = distro::all().map(|(_, suite)| suite);
        let of = suites.find(|suite| suite.osinfo == osinfo);
        of.map(|suite| suite.name)
    };
    match &plan.base {
        Base::Layer(below) => codename(below),
        Base::Published(pin) => by_osinfo(pin.image.osinfo.as_deref()?),
        Base::Install(Install::Bootstrap(method)) => Some(&method.suite),
        Base::Install(Install::VirtInstall(method)) => by_osinfo(&method.os),
        Base::Install(Install::Import(_)) => None,
    }
}
