//! The stage: the gate, asked about the sealed disk of a recipe.

use serde::{Deserialize, Serialize};

use super::{Basis, Gate, run_gate, subject};
use crate::doctor::Need;
use crate::error::Result;
use crate::host::qemu_img;
use crate::recipe::secrets;
use crate::repository::gate::{GateProof, GateReport};
use crate::stage::plan::Part;
use crate::stage::seal::Sealed;
use crate::stage::{Context, OfSealed, Stage};
use crate::steps::grow;
use crate::store::{Facts, Layer, Store};
use crate::units::Size;

/// How much larger the clones' disks are where the root grows with them.
const LARGER: Size = Size::gib(1);

/// What the stage reports: the gate's verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    sealed: String,
    /// Whether nothing was found wrong.
    pub passed: bool,
    /// What the gate measured.
    pub gate: GateReport,
    /// A line for people.
    pub note: String,
}

impl Facts for Checked {
    const STAGE: &'static str = "check";

    fn note(&self) -> Option<&str> {
        Some(&self.note)
    }
}

/// Grows when the gate says something else of the same disk; scan and runner have their own.
const VERSION: u32 = 4;

/// The stage's row.
pub const STAGE: Stage = Stage {
    name: Checked::STAGE,
    makes_disk: false,
    fetches: false,
    secrets: true,
    below: "the sealed disk",
    parts: |_| {
        Part::whole(|request| {
            let mut inputs = request.begin(&STAGE, VERSION);
            Basis::of(request.resolved, request.config).add_to(&mut inputs, true);
            Ok(inputs)
        })
    },
    needs: |_, _| GUESTS,
    has: Store::has::<Checked>,
};

/// What the gate needs of the host.
pub const GUESTS: &[Need] = &[Need::Disks, Need::Guests, Need::Appliance];

impl OfSealed for Checked {
    fn sealed(&self) -> &str {
        &self.sealed
    }
}

impl Checked {
    /// The proof that `publish` asks for.
    ///
    /// # Errors
    /// When the gate has not passed.
    pub fn proof(&self) -> Result<GateProof> {
        GateProof::new(&self.sealed, self.gate.clone())
    }
}

/// Asks the gate about the sealed disk. It and all below it are the bytes that were committed,
/// before and after: the proof is about what a guest sees.
///
/// # Errors
/// As [`run_gate`], and when a disk of the chain is another one.
pub fn run(context: &Context<'_>, sealed: &Layer<Sealed>) -> Result<Checked> {
    let recipe = context.recipe();
    let (scratch, store) = (context.scratch()?, context.host.store());
    context.ui.step("verifying the disk");
    store.verify(sealed.entry())?;
    let subject = subject(context, sealed)?;
    let basis = Basis::of(context.resolved, context.config);
    let mut check = basis.check.clone();
    // A root that grows has to: the clones' disks are larger than the image's.
    let size = match basis.machine.grow {
        true => Some(qemu_img::info(&sealed.entry().disk(), "qcow2")?.virtual_size),
        false => None,
    };
    check.commands.extend(size.map(grow::proof));
    let report = run_gate(&Gate {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?,
        ui: context.ui,
        disk: &sealed.entry().disk(),
        os: Some(&sealed.facts().os),
        machine: basis.machine,
        check: &check,
        vars: basis.vars,
        passphrase: secrets::passphrase(recipe, &context.resolved.root),
        subject: &subject,
        scratch: scratch.path(),
        logs: context.logs,
        more: &[],
        size: size.map(|size| size + LARGER.as_bytes()),
    })?;
    store.verify(sealed.entry())?;
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
    Ok(Checked {
        sealed: sealed.digest()?.to_owned(),
        passed: report.passed,
        gate: report,
        note: healthy.join(", "),
    })
}
