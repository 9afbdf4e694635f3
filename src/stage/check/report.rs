//! What the gate says, for people, for `gate.json` and for the manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::boot::Booted;
use super::judge::{failed_units, text, valid_id};
use crate::recipe::types::Check;
use crate::scan::{Accepted, Finding};

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateReport {
    /// Whether nothing was found wrong.
    pub passed: bool,
    /// Everything that was found wrong, a sentence each.
    pub problems: Vec<String>,
    /// The clones; none if the disk holds leftovers, as it is not booted then.
    pub clones: Vec<CloneReport>,
    /// What the scan found.
    #[serde(rename = "scan")]
    pub leftovers: Leftovers,
}

/// One clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CloneReport {
    /// `a` or `b`.
    pub name: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Model of its network card.
    pub nic: String,
    /// What the init system says of itself: `running`, `degraded`, …
    pub state: String,
    /// Seconds from the kernel's start until it was up.
    pub healthy_after: Option<u64>,
    /// How often it was started until then: twice where it restarts itself once, as after labelling
    /// its disk for SELinux.
    pub boots: u32,
    /// Release of the kernel.
    pub kernel: String,
    /// Its machine id, which no other clone has; `None` without systemd.
    pub machine_id: Option<String>,
    /// Failed units that the recipe accepts, with its reasons.
    pub accepted_units: BTreeMap<String, String>,
    /// Exit codes of the recipe's commands.
    pub commands: Vec<CommandReport>,
}

/// One of the recipe's commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandReport {
    /// The command line.
    pub command: String,
    /// Its exit code.
    pub code: Option<i32>,
}

/// The offline half.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Leftovers {
    /// What nobody accepts.
    pub refused: Vec<Finding>,
    /// What the recipe accepts, with its reasons.
    pub accepted: Vec<Accepted>,
    /// How many files and directories were looked at.
    pub files: u64,
    /// How many bytes of them, decoded ones included.
    pub bytes: u64,
    /// How long that took, in seconds.
    pub took: u64,
}

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
