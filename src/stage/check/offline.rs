//! The offline half: no leftovers on the disk.

use std::time::Instant;

use super::{Gate, Leftovers, SHOWN};
use crate::blame::Index;
use crate::error::Result;
use crate::scan::{self, Finding, Host};

/// Scans the sealed disk.
pub(super) fn leftovers(gate: &Gate<'_>, began: Instant) -> Result<Leftovers> {
    let host = Host {
        scratch: gate.scratch,
        accel: gate.accel,
        ui: gate.ui,
    };
    let report = scan::disk(gate.disk, "qcow2", gate.subject, &host)?;
    let mut verdict = scan::judge(report.findings, &gate.check.allow);
    say_where_from(gate, &mut verdict.refused);
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

/// Says which step and package brought each file that was found, where the disk has an index.
fn say_where_from(gate: &Gate<'_>, found: &mut [Finding]) {
    let index = gate.disk.parent().map(Index::read);
    let Some(Ok(Some(index))) = index else {
        return;
    };
    for finding in found {
        let Some(file) = index.file_with(&finding.path) else {
            continue;
        };
        let from = format!("from {}", index.origin(file));
        finding.detail = match finding.detail.as_str() {
            "" => from,
            detail => format!("{detail}; {from}"),
        };
    }
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
