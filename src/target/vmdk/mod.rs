//! A compressed disk for VMware and VirtualBox.

use serde_json::json;

use super::convert::{Form, convert};
use super::{Made, Site, Target};
use crate::error::Result;
use crate::host::tools::Tool;
use crate::recipe::types::{Targets, Vmdk};
use crate::units::Size;

/// The target.
pub(super) const TARGET: Target = Target {
    name: "vmdk",
    about: "a compressed disk for VMware and VirtualBox",
    version: 1,
    options: |targets| targets.vmdk.as_ref().map(|options| json!(options)),
    alone: || Targets {
        vmdk: Some(Vmdk {}),
        ..Targets::default()
    },
    tools: &[Tool::QemuImg],
    modules: MODULES,
    reads: true,
    memory: Size::mib(256),
    steps: |_| vec![],
    trial: None,
    make,
};

/// Disk and network of the machines of VMware and VirtualBox.
pub(super) const MODULES: &[&[&str]] = &[&["mptspi", "vmw_pvscsi", "ahci"], &["e1000"]];

/// ESXi imports no other kind, and nothing for hardware before version 9.
pub(super) const FORM: Form = Form {
    format: "vmdk",
    options: "subformat=streamOptimized,adapter_type=lsilogic,hwversion=13",
    // The kind itself is compressed.
    compressed: false,
    checked: true,
};

fn make(site: &Site<'_>, _: &Targets) -> Result<Vec<Made>> {
    let file = site.file("vmdk");
    let proof = convert(site, None, FORM, &file)?;
    Ok(vec![Made {
        file,
        format: "vmdk",
        about: [].into(),
        proof,
    }])
}
