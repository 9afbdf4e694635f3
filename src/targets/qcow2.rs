//! QEMU's own format.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::{Form, convert};
use super::{Format, MadeFile, Options, Target, TargetContext};
use crate::error::Result;
use crate::host::tools::Tool;

pub(super) const TARGET: Target = Target {
    files: "`.qcow2`, version 3; `compression: zlib`, `zstd` or `none`",
    proven_by: "`qemu-img check`, `info`, `compare`",
    streams: true,
    tools: &[Tool::QemuImg],
    reads: false,
    ..Target::new("qcow2", 2)
};

/// `targets: {qcow2: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Qcow2 {
    /// How its clusters are compressed.
    pub compression: Clusters,
}

/// How the clusters of a qcow2 are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clusters {
    /// What every QEMU and every OpenStack reads.
    #[default]
    Zlib,
    /// Smaller and quicker; reading it needs QEMU 5.1.
    Zstd,
    /// Not at all.
    None,
}

impl Options for Qcow2 {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("qcow2");
        let proof = convert(site, None, form(self.compression), &file)?;
        Ok(vec![MadeFile::new(file, Format::Qcow2, proof)])
    }
}

/// Version 3 of the format, in the words of `qemu-img`.
pub(super) fn form(clusters: Clusters) -> Form {
    Form {
        format: "qcow2",
        options: match clusters {
            Clusters::Zlib => "compat=1.1,compression_type=zlib",
            Clusters::Zstd => "compat=1.1,compression_type=zstd",
            Clusters::None => "compat=1.1",
        },
        compressed: clusters != Clusters::None,
        checked: true,
    }
}
