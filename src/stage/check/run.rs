//! The stage: the gate, asked about the sealed disk of a recipe.

use serde_json::{Value, json};

use super::{Gate, run_gate, subject};
use crate::digest::file_blake3;
use crate::error::{Error, Result};
use crate::guest::Os;
use crate::stage::{Context, Sealed, configure};

/// Asks the gate about the sealed disk, and that asking changed nothing of it.
///
/// # Errors
/// As [`run_gate`].
pub fn run(context: &Context<'_>, sealed: &Sealed) -> Result<Value> {
    let recipe = context.recipe();
    let scratch = context.scratch()?;
    let subject = subject(context, sealed)?;
    let os: Option<Os> = serde_json::from_value(sealed.0.meta().facts["os"].clone()).ok();
    let report = run_gate(&Gate {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?,
        ui: context.ui,
        disk: &sealed.0.disk(),
        os: os.as_ref(),
        machine: &recipe.machine,
        check: &recipe.check,
        vars: &context.resolved.vars,
        passphrase: configure::passphrase(recipe, &context.resolved.root),
        subject: &subject,
        scratch: scratch.path(),
        logs: context.logs,
        more: &[],
        size: None,
    })?;
    if file_blake3(&sealed.0.disk())? != sealed.digest()? {
        return Err(
            Error::gate("the sealed disk changed while the gate looked at it")
                .hint("`imgforge build NAME --from seal` makes it again"),
        );
    }
    let healthy: Vec<String> = report
        .clones
        .iter()
        .map(|clone| {
            let seconds = clone
                .healthy_after
                .map_or("?".into(), |seconds| seconds.to_string());
            format!("{} {} healthy after {seconds} s", clone.firmware, clone.nic)
        })
        .collect();
    Ok(json!({
        "sealed": sealed.digest()?,
        "passed": report.passed,
        "gate": report,
        "note": healthy.join(", "),
    }))
}
