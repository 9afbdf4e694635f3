//! Locks what steps fetch, before the plan that depends on the locks is carried out.

use crate::distro;
use crate::error::Result;
use crate::lock::Fetching;
use crate::pipeline::{Options, Session};
use crate::proxy::Cache;
use crate::recipe::types::{Base, Install};
use crate::stage::StageId;
use crate::stage::plan::{Plan, Planned};
use crate::steps::{Step, Tools};
use crate::toolbox::Request;

/// Writes the locks that are missing; whether it wrote one, so that the plan is out of date.
pub(super) fn lock(session: &Session, options: &Options, plan: &Plan) -> Result<bool> {
    let below = match plan.below() {
        Some(base) => lock(session, options, base)?,
        None => false,
    };
    let runs = |stage: &Planned| stage.stage == StageId::Configure && !stage.cached;
    let (root, recipe) = (&plan.resolved.root, &plan.resolved.recipe);
    let steps = recipe.configure.iter();
    let missing: Vec<&Step> = steps
        .filter(|step| step.action.kind().lacks_lock(root))
        .collect();
    let Some(codename) = codename(plan) else {
        return Ok(below);
    };
    // A lock of the build names what was installed.
    if missing.is_empty() || options.offline || options.locked || !plan.stages.iter().any(runs) {
        return Ok(below);
    }
    let ui = session.ui.stage(plan.image(), "lock");
    session.store.prepare()?;
    let request = Request {
        store: &session.store,
        ledger: session.host.ledger()?,
        mirrors: &session.config.mirrors,
        mirror: &recipe.mirrors.build,
        arch: recipe.machine.arch,
        fetching: &Fetching::default(),
        cache: &Cache::new(session.store.state(), session.config.store.cache_size),
        log: &session.store.logs(plan.image()).join("lock-toolbox.log"),
        ui: &ui,
    };
    let tools = Tools::prepare(&request, missing.iter().copied(), root, codename)?;
    for step in missing {
        if let Some(written) = step.action.kind().write_lock(root, &tools)? {
            session.ui.notice(format!(
                "wrote {}: keep it with the recipe",
                written.display()
            ));
        }
    }
    Ok(true)
}

/// The code name of the release that the chain begins with, where the recipe tells it.
fn codename(plan: &Plan) -> Option<&str> {
    let by_osinfo = |osinfo: &str| distro::suite_by_osinfo(osinfo).map(|(_, suite)| suite.name);
    match &plan.base {
        Base::Layer(below) => codename(below),
        Base::Published(pin) => by_osinfo(pin.image.osinfo.as_deref()?),
        Base::Install(Install::Bootstrap(method)) => Some(&method.suite),
        Base::Install(Install::VirtInstall(method)) => by_osinfo(&method.os),
        Base::Install(Install::Import(_)) => None,
    }
}
