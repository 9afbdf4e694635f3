//! The stage: the gate, asked about the sealed disk of a recipe.

use serde_json::{Value, json};

use super::{Gate, run_gate, subject};
use crate::digest::file_blake3;
use crate::error::{Error, Result};
use crate::guest::Os;
use crate::recipe::grow;
use crate::stage::{Context, Sealed, configure};
use crate::target;
use crate::units::Size;

/// How much larger the clones' disks are where the root grows with them.
const LARGER: Size = Size::gib(1);

/// Asks the gate about the sealed disk, and that asking changed nothing of it.
///
/// # Errors
/// As [`run_gate`].
pub fn run(context: &Context<'_>, sealed: &Sealed) -> Result<Value> {
    let recipe = context.recipe();
    let scratch = context.scratch()?;
    let subject = subject(context, sealed)?;
    let os: Option<Os> = serde_json::from_value(sealed.0.meta().facts["os"].clone()).ok();
    let mut check = recipe.check.clone();
    // A root that grows has to: the clones' disks are larger than the image's.
    let size = match recipe.machine.grow {
        true => Some(target::size_of(&sealed.0.disk(), "qcow2")?),
        false => None,
    };
    check.commands.extend(size.map(grow::proof));
    let report = run_gate(&Gate {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?,
        ui: context.ui,
        disk: &sealed.0.disk(),
        os: os.as_ref(),
        machine: &recipe.machine,
        check: &check,
        vars: &context.resolved.vars,
        passphrase: configure::passphrase(recipe, &context.resolved.root),
        subject: &subject,
        scratch: scratch.path(),
        logs: context.logs,
        more: &[],
        size: size.map(|size| size + LARGER.as_bytes()),
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
