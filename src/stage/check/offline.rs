//! The offline half: no leftovers on the disk.

use std::time::Instant;

use super::{Gate, Leftovers, SHOWN};
use crate::error::Result;
use crate::scan::{self, Host};

/// Scans the sealed disk.
pub(super) fn leftovers(gate: &Gate<'_>, began: Instant) -> Result<Leftovers> {
    let host = Host {
        scratch: gate.scratch,
        accel: gate.accel,
        ui: gate.ui,
    };
    let report = scan::disk(gate.disk, "qcow2", gate.subject, &host)?;
    let verdict = scan::judge(report.findings, &gate.check.allow);
    for unused in &verdict.unused {
        let text = format!("`check.allow` accepts what is not there: {unused}");
        gate.ui.ui().notice(text);
    }
    Ok(Leftovers {
        refused: verdict.refused,
        accepted: verdict.accepted,
        files: report.files,
        bytes: report.bytes,
        took: began.elapsed().as_secs(),
    })
}

/// One sentence for an error, however much was found.
pub(super) fn problems(leftovers: &Leftovers) -> Vec<String> {
    vec![match leftovers.refused.len() {
        1 => "the disk holds a leftover of its build".into(),
        many => format!("the disk holds {many} leftovers of its build"),
    }]
}

/// The first findings, with what removes them.
pub(super) fn lines(leftovers: &Leftovers) -> Vec<String> {
    let shown = leftovers.refused.iter().take(SHOWN).map(|finding| {
        let detail = match finding.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({detail})"),
        };
        format!(
            "{}: {}{detail}: {}",
            finding.rule, finding.path, finding.fix
        )
    });
    let mut lines: Vec<String> = shown.collect();
    if leftovers.refused.len() > SHOWN {
        lines.push(format!("… and {} more", leftovers.refused.len() - SHOWN));
    }
    lines
}
