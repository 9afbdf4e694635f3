//! `engine:` of imgforge.yaml: who runs the jobs of a build on other machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// How long a job may take, if nobody says so.
const TIME: Span = Span::seconds(24 * 3600);

/// Who runs the jobs of a build on other machines.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EngineConfig {
    /// A job that takes longer is ended; default: `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Span>,
    /// What `build --on slurm` asks Slurm for.
    pub slurm: SlurmConfig,
    /// What the jobs of `plan --pipeline gitlab` have.
    pub gitlab: GitlabConfig,
}

impl EngineConfig {
    /// How long a job may take.
    pub fn time(&self) -> Span {
        self.time.unwrap_or(TIME)
    }
}

/// What `build --on slurm` asks Slurm for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SlurmConfig {
    /// The partition; several are separated by commas. Default: Slurm's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Features that a node must have, as for `sbatch --constraint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// Features that a node must have for the gate and what follows it, which are a job of their own then,
    /// such as nodes with hardware virtualization. Default: no such job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_constraint: Option<String>,
    /// The account that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Directory on the disk of each node for temporary files; default: the node's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
    /// A state directory that each node has for itself, on a disk of its own, as an absolute path: finished
    /// stages go through the shared store. Default: that of this machine, which all nodes see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The program on the nodes, as an absolute path; default: where this one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// More options of `sbatch`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What the jobs of `plan --pipeline gitlab` have.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GitlabConfig {
    /// Tags of the runners that may take the jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}
