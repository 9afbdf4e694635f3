//! QEMU's own format.

use serde_json::json;

use super::convert::{Form, convert};
use super::{MadeFile, Target, TargetContext};
use crate::error::Result;
use crate::host::tools::Tool;
use crate::recipe::types::{Clusters, Qcow2, Targets};
use crate::units::Size;

/// The target.
pub(super) const TARGET: Target = Target {
    name: "qcow2",
    about: "QEMU's own format, compressed",
    version: 2,
    options: |targets| targets.qcow2.as_ref().map(|options| json!(options)),
    alone: || Targets {
        qcow2: Some(Qcow2::default()),
        ..Targets::default()
    },
    tools: &[Tool::QemuImg],
    modules: &[],
    reads: false,
    memory: Size::mib(256),
    steps: |_| vec![],
    trial: None,
    make,
};

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

fn make(site: &TargetContext<'_>, targets: &Targets) -> Result<Vec<MadeFile>> {
    let options = targets.qcow2.unwrap_or_default();
    let file = site.file("qcow2");
    let proof = convert(site, None, form(options.compression), &file)?;
    Ok(vec![MadeFile {
        file,
        format: "qcow2",
        about: [].into(),
        proof,
    }])
}
