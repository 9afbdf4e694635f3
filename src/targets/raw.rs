//! The disk byte by byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::{Form, convert};
use super::{Format, MadeFile, Options, Target, TargetContext};
use crate::error::Result;
use crate::host::tools::Tool;
use crate::units::Size;

pub(super) const TARGET: Target = Target {
    files: "`.raw`, sparse",
    proven_by: "`qemu-img compare` with the sealed disk",
    tools: &[Tool::QemuImg],
    reads: false,
    memory: Size::mib(128),
    ..Target::new("raw", 1)
};

/// `targets: {raw: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Raw {}

impl Options for Raw {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("raw");
        let proof = convert(site, None, FORM, &file)?;
        Ok(vec![MadeFile::new(file, Format::Raw, proof)])
    }
}

/// The disk as it is.
pub(super) const FORM: Form = Form {
    format: "raw",
    options: "",
    compressed: false,
    checked: false,
};
