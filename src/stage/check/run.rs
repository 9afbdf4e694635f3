//! The stage: the gate, asked about the sealed disk of a recipe.

use serde_json::{Value, json};

use super::{Basis, Gate, run_gate, subject};
use crate::error::Result;
use crate::guest::Os;
use crate::recipe::grow;
use crate::stage::{Context, Sealed, configure};
use crate::store::Store;
use crate::targets;
use crate::units::Size;

/// How much larger the clones' disks are where the root grows with them.
const LARGER: Size = Size::gib(1);

/// Asks the gate about the sealed disk. It and all below it are the bytes that were committed,
/// before and after: the proof is about what a guest sees.
///
/// # Errors
/// As [`run_gate`], and when a disk of the chain is another one.
pub fn run(context: &Context<'_>, sealed: &Sealed) -> Result<Value> {
    let recipe = context.recipe();
    let (scratch, store) = (context.scratch()?, Store::new(context.state));
    context.ui.step("verifying the disk");
    store.verify(&sealed.0)?;
    let subject = subject(context, sealed)?;
    let os: Option<Os> = serde_json::from_value(sealed.0.meta().facts["os"].clone()).ok();
    let basis = Basis::of(context.resolved, context.config);
    let mut check = basis.check.clone();
    // A root that grows has to: the clones' disks are larger than the image's.
    let size = match basis.machine.grow {
        true => Some(targets::size_of(&sealed.0.disk(), "qcow2")?),
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
        machine: basis.machine,
        check: &check,
        vars: basis.vars,
        passphrase: configure::passphrase(recipe, &context.resolved.root),
        subject: &subject,
        scratch: scratch.path(),
        logs: context.logs,
        more: &[],
        size: size.map(|size| size + LARGER.as_bytes()),
    })?;
    store.verify(&sealed.0)?;
    let healthy: Vec<String> = report
        .clones
        .iter()
        .map(|clone| {
            let seconds = clone
                .healthy_after
                .map_or("?".into(), |seconds| seconds.to_string());
            let again = match clone.boots {
                1 => String::new(),
                boots => format!(" of boot {boots}"),
            };
            format!(
                "{} {} healthy after {seconds} s{again}",
                clone.firmware, clone.nic
            )
        })
        .collect();
    Ok(json!({
        "sealed": sealed.digest()?,
        "passed": report.passed,
        "gate": report,
        "note": healthy.join(", "),
    }))
}
