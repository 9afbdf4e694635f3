//! What a plan takes from the shared store, before the plan is carried out.

use crate::error::Result;
use crate::pipeline::Session;
use crate::stage::plan::{Plan, Planned};

/// Brings the results that only the shared store has; false when one did not come, so that the plan is out
/// of date: it counts as missing from now on.
///
/// # Errors
/// When the store cannot be written, or imgforge is interrupted.
pub(super) fn bring(session: &Session, plan: &Plan) -> Result<bool> {
    let store = &session.store;
    if store.remote().is_none() {
        return Ok(true);
    }
    let all = plan.all();
    let elsewhere = |planned: &&&Planned| planned.remote;
    let elsewhere: Vec<&&Planned> = all.iter().filter(elsewhere).collect();
    if elsewhere.is_empty() {
        return Ok(true);
    }
    store.prepare()?;
    let ledger = session.host.ledger()?;
    for planned in elsewhere {
        let ui = session.ui.stage(&planned.image, &planned.label);
        if !store.bring(&planned.key, ledger, &ui)? {
            return Ok(false);
        }
    }
    Ok(true)
}
