//! The disk byte by byte.

use serde_json::json;

use super::convert::{Form, convert};
use super::{MadeFile, Target, TargetContext};
use crate::error::Result;
use crate::host::tools::Tool;
use crate::recipe::types::{Raw, Targets};
use crate::units::Size;

/// The target.
pub(super) const TARGET: Target = Target {
    name: "raw",
    about: "the disk byte by byte, sparse",
    version: 1,
    options: |targets| targets.raw.as_ref().map(|options| json!(options)),
    alone: || Targets {
        raw: Some(Raw {}),
        ..Targets::default()
    },
    tools: &[Tool::QemuImg],
    modules: &[],
    reads: false,
    memory: Size::mib(128),
    steps: |_| vec![],
    trial: None,
    make,
};

const FORM: Form = Form {
    format: "raw",
    options: "",
    compressed: false,
    checked: false,
};

fn make(site: &TargetContext<'_>, _: &Targets) -> Result<Vec<MadeFile>> {
    let file = site.file("raw");
    let proof = convert(site, None, FORM, &file)?;
    Ok(vec![MadeFile {
        file,
        format: "raw",
        about: [].into(),
        proof,
    }])
}
