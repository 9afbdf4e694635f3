//! A compressed disk for VMware and VirtualBox.

mod stream;

use serde_json::json;

use super::azure::whole;
use super::convert::prove;
use super::{MadeFile, PassedCheck, Target, TargetContext};
use crate::error::{Context as _, Result};
use crate::host::tools::Tool;
use crate::recipe::types::{Targets, Vmdk};
use crate::units::Size;

/// The target.
pub(super) const TARGET: Target = Target {
    name: "vmdk",
    about: "a compressed disk for VMware and VirtualBox",
    version: 2,
    options: |targets| targets.vmdk.as_ref().map(|options| json!(options)),
    alone: || Targets {
        vmdk: Some(Vmdk {}),
        ..Targets::default()
    },
    tools: &[Tool::QemuImg, Tool::Sfdisk],
    modules: MODULES,
    reads: true,
    memory: Size::mib(256),
    steps: |_| vec![],
    trial: None,
    make,
};

/// Disk and network of the machines of VMware and VirtualBox.
pub(super) const MODULES: &[&[&str]] = &[&["mptspi", "vmw_pvscsi", "ahci"], &["e1000"]];

/// Writes the source to a file of [`TargetContext::dir`] and proves it. ESXi imports no other kind than
/// this, and nothing for hardware before version 9.
pub(super) fn write(site: &TargetContext<'_>, name: &str) -> Result<Vec<PassedCheck>> {
    let grown = whole(site, stream::GRAIN)?;
    let raw = match &grown {
        Some(grown) => grown.clone(),
        None => site.source.flat(site.ui)?,
    };
    site.ui.step(format!("writing {name}"));
    let path = site.dir.join(name);
    stream::write(&raw, &path, name, site.ui)?;
    let proof = match site.proving {
        true => prove(site, Some(&raw), FORMAT, true, &path)?,
        false => vec![],
    };
    if let Some(grown) = grown {
        std::fs::remove_file(&grown).doing(|| format!("removing {}", grown.display()))?;
    }
    Ok(proof)
}

/// What QEMU calls it.
pub(super) const FORMAT: &str = "vmdk";

fn make(site: &TargetContext<'_>, _: &Targets) -> Result<Vec<MadeFile>> {
    let file = site.file("vmdk");
    let proof = write(site, &file)?;
    Ok(vec![MadeFile {
        file,
        format: "vmdk",
        about: [].into(),
        proof,
    }])
}
