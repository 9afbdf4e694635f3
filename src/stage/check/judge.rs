//! What is wrong with a clone, and with two.

use std::collections::BTreeSet;

use super::plan::CloneMachine;
use crate::recipe::types::Check;
use crate::runner::drive::Finished;
use crate::runner::{Job, Journal};

/// Free text of a fact, from hex; the line's end that a program printed is no part of it.
pub(super) fn text(hexed: &str) -> Option<String> {
    Some(
        String::from_utf8_lossy(&hex::decode(hexed).ok()?)
            .trim_end()
            .to_owned(),
    )
}

/// Names of the units that failed.
pub(super) fn failed_units(journal: &Journal) -> Vec<String> {
    let plain = |name: String| name.chars().filter(|c| !c.is_control()).take(200).collect();
    journal
        .facts("failed-unit")
        .filter_map(text)
        .map(plain)
        .collect()
}

/// What is wrong with one clone.
pub(super) fn of_clone(
    plan: &CloneMachine,
    finished: &Finished,
    job: &Job,
    check: &Check,
) -> Vec<String> {
    let name = &plan.name;
    let journal = &finished.journal;
    if !finished.orderly() || journal.failure.is_some() {
        let why = finished
            .complaint(job)
            .unwrap_or_else(|| "it did not end well".into());
        return vec![format!("clone {name}: {why}")];
    }
    let mut problems = vec![];
    let state = journal.facts("state").next().unwrap_or("missing");
    let failed = failed_units(journal);
    let refused: Vec<_> = failed
        .iter()
        .filter(|u| !check.failed_units.contains_key(*u))
        .collect();
    match state {
        "running" | "unknown" => {}
        "degraded" if refused.is_empty() && !failed.is_empty() => {}
        "degraded" if !refused.is_empty() => {}
        other => problems.push(format!(
            "clone {name} did not come up: its state is `{other}`"
        )),
    }
    problems.extend(
        refused
            .iter()
            .map(|unit| format!("clone {name}: the unit {unit} failed")),
    );
    for (n, command) in (1..).zip(&check.commands) {
        match journal.steps.get(&n).copied().flatten() {
            Some(0) => {}
            Some(code) => problems.push(format!(
                "clone {name}: `{command}` failed with exit code {code}"
            )),
            None => problems.push(format!("clone {name}: `{command}` was not run")),
        }
    }
    problems.extend(lacking(plan, journal, state));
    problems
}

/// What every machine has of its own, and this one has not: what is not there cannot be compared.
fn lacking(plan: &CloneMachine, journal: &Journal, state: &str) -> Vec<String> {
    let name = &plan.name;
    let has = |fact: &str| journal.facts(fact).next().is_some();
    let ids = journal
        .facts("machine-id")
        .filter(|id| valid_id(id))
        .count();
    let drives = journal.facts("nic").any(|driver| driver == plan.driver());
    let systemd = state != "unknown";
    [
        (systemd && ids != 1, "has no valid machine id".to_owned()),
        (
            has("sshd") && !has("host-key"),
            "has an SSH server and made no host key".into(),
        ),
        (
            has("seeded") && !has("random-seed"),
            "did not save a random seed".into(),
        ),
        (
            has("nic") && !drives,
            format!("does not drive its network card ({})", plan.nic.model),
        ),
    ]
    .into_iter()
    .filter(|(lacks, _)| *lacks)
    .map(|(_, what)| format!("clone {name} {what}"))
    .collect()
}

/// Whether a machine id is one.
pub(super) fn valid_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
}

/// What two machines must not share.
pub(super) fn between(a: &Journal, b: &Journal) -> Vec<String> {
    let shared = [
        ("machine-id", "both clones have the same machine id"),
        ("host-key", "both clones have the same ssh host key"),
        ("random-seed", "both clones have the same random seed"),
    ];
    let same = |name: &str| {
        let of: BTreeSet<&str> = a.facts(name).collect();
        b.facts(name).any(|value| of.contains(value))
    };
    let found = shared.into_iter().filter(|(name, _)| same(name));
    found.map(|(_, problem)| problem.to_owned()).collect()
}
