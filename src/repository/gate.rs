//! What the gate found, for people, for `gate.json` and for manifests; and the proof that it passed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::scan::{Accepted, Finding};

/// The gate has passed for one sealed disk. There is no other way to get one than [`GateProof::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateProof {
    sealed: String,
    report: GateReport,
}

impl GateProof {
    /// What the check stage found out about the sealed disk with the digest `sealed`.
    ///
    /// # Errors
    /// When the gate has not passed.
    pub fn new(sealed: &str, report: GateReport) -> Result<Self> {
        if report.passed {
            return Ok(GateProof {
                sealed: sealed.to_owned(),
                report,
            });
        }
        Err(Error::gate("the gate has not passed for this disk")
            .hint("`imgforge logs NAME check` shows what failed"))
    }

    /// The digest of the disk that passed.
    pub fn sealed(&self) -> &str {
        &self.sealed
    }

    /// What the gate found, for the manifest.
    pub fn report(&self) -> &GateReport {
        &self.report
    }
}

/// What the gate found. What is missing is an error here, or a field under another name would read
/// as nothing accepted; a field that older manifests lack has a default of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    #[serde(deserialize_with = "Option::deserialize")]
    pub healthy_after: Option<u64>,
    /// How often it was started until then: twice where it restarts itself once, as after labelling
    /// its disk for SELinux.
    #[serde(default)]
    pub boots: u32,
    /// Release of the kernel.
    pub kernel: String,
    /// Its machine id, which no other clone has; `None` without systemd.
    #[serde(deserialize_with = "Option::deserialize")]
    pub machine_id: Option<String>,
    /// Failed units that the recipe accepts, with its reasons.
    pub accepted_units: BTreeMap<String, String>,
    /// Exit codes of the recipe's commands.
    pub commands: Vec<CommandReport>,
}

/// One of the recipe's commands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandReport {
    /// The command line.
    pub command: String,
    /// Its exit code.
    #[serde(deserialize_with = "Option::deserialize")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_an_error_but_for_what_older_manifests_lack() {
        let report = GateReport {
            clones: vec![CloneReport {
                commands: vec![CommandReport::default()],
                ..CloneReport::default()
            }],
            ..GateReport::default()
        };
        let whole = serde_json::to_value(&report).unwrap();
        assert_eq!(GateReport::deserialize(&whole).unwrap(), report);
        let mut lacked = vec![];
        for place in ["", "/scan", "/clones/0", "/clones/0/commands/0"] {
            for field in whole.pointer(place).unwrap().as_object().unwrap().keys() {
                let mut other = whole.clone();
                let part = other.pointer_mut(place).unwrap();
                part.as_object_mut().unwrap().remove(field);
                if GateReport::deserialize(&other).is_ok() {
                    lacked.push(format!("{place}/{field}"));
                }
            }
        }
        assert_eq!(lacked, ["/clones/0/boots"]);
    }
}
