//! A compressed disk for VMware and VirtualBox.

mod stream;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure::whole;
use super::convert::prove;
use super::{Format, MadeFile, Options, PassedCheck, Target, TargetContext};
use crate::error::{Context as _, Result};

pub(super) const TARGET: Target = Target {
    files: "`.vmdk`, stream-optimised, for hardware 13",
    proven_by: "`qemu-img check`, `compare`",
    modules: MODULES,
    ..Target::new("vmdk", 2)
};

/// `targets: {vmdk: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vmdk {}

impl Options for Vmdk {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("vmdk");
        let proof = write(site, &file)?;
        Ok(vec![MadeFile::new(file, Format::Vmdk, proof)])
    }
}

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
