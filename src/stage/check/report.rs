//! What the gate says of one clone.

use super::boot::Booted;
use super::judge::{failed_units, text, valid_id};
use super::{CloneReport, CommandReport};
use crate::recipe::types::Check;

impl Booted<'_> {
    /// What the clone's report says.
    pub(super) fn report(&self, check: &Check) -> CloneReport {
        let journal = &self.finished.journal;
        let first = |name: &str| journal.facts(name).next().unwrap_or("unknown").to_owned();
        CloneReport {
            name: self.plan.name.clone(),
            firmware: self.plan.firmware.as_str().into(),
            nic: self.plan.nic.model.clone(),
            state: first("state"),
            boots: self.finished.boots,
            healthy_after: journal.facts("uptime").next().and_then(|s| s.parse().ok()),
            kernel: text(&first("kernel")).unwrap_or_default(),
            machine_id: Some(first("machine-id")).filter(|id| valid_id(id)),
            accepted_units: failed_units(journal)
                .into_iter()
                .filter_map(|unit| {
                    let reason = check.failed_units.get(&unit)?.clone();
                    Some((unit, reason))
                })
                .collect(),
            commands: (1..)
                .zip(&check.commands)
                .map(|(n, command)| CommandReport {
                    command: command.clone(),
                    code: journal.steps.get(&n).copied().flatten(),
                })
                .collect(),
        }
    }
}
