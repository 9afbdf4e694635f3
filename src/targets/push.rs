//! Containers, into a registry.

use std::fmt;
use std::path::Path;

use super::docker::registry_of;
use super::{ArtifactRecord, Format, Targets};
use crate::address::OciAddress;
use crate::error::{Error, Result};
use crate::http::Limits;
use crate::registry::{Pushed, Registry};
use crate::ui::Ui;
use crate::units::Size;

/// The targets whose files [`push`] sends.
pub const CONTAINERS: [&str; 2] = ["docker", "kubevirt"];

/// Whether an artifact is a container, which a registry takes.
pub fn is_container(record: &ArtifactRecord) -> bool {
    let format = record.about.format;
    matches!(
        format,
        Format::OciArchive | Format::OciIndex | Format::ContainerDisk
    )
}

/// Where a container with this name goes below `to`, `oci://HOST[/PREFIX]`.
///
/// # Errors
/// When a registry takes no such name.
pub fn place(name: &str, to: &str) -> Result<OciAddress> {
    let own = registry_of(name).map_or(name, |host| &name[host.len() + 1..]);
    OciAddress::below(to, own).map_err(|_| {
        Error::usage(format!(
            "`{own}` cannot be the name of a container below {to}"
        ))
        .hint(NAMES)
    })
}

/// A container's name that no registry takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedName {
    /// The target that makes the container.
    pub target: &'static str,
    /// The name.
    pub name: String,
}

impl fmt::Display for RefusedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RefusedName { target, name } = self;
        write!(
            f,
            "no registry takes the container of the target `{target}` as `{name}`: {NAMES}"
        )
    }
}

/// The names of the containers of an image that no registry takes.
pub fn refused_names(targets: &Targets, image: &str) -> Vec<RefusedName> {
    let wanted = targets.wanted().into_iter();
    let named = wanted.filter_map(|it| {
        let (target, name) = (it.name, it.options.container(image)?);
        Some(RefusedName { target, name })
    });
    named
        .filter(|it| place(&it.name, "oci://localhost").is_err())
        .collect()
}

/// What names a container, and how.
const NAMES: &str = "`reference:` of the target names it: small letters, digits, and single `.`, `_`, `-`, `/` between";

/// Puts a container into a registry, below `to`, `oci://HOST[/PREFIX]`, by its own name and tag.
///
/// # Errors
/// When its name is none there, or the registry cannot be reached or refuses.
pub fn push(path: &Path, record: &ArtifactRecord, to: &str, ui: &Ui) -> Result<()> {
    let reference = record.about.more.get("reference");
    let named = reference.and_then(|reference| reference.rsplit_once(':'));
    let (name, tag) = named.ok_or_else(|| Error::internal("a container has no name"))?;
    let address = place(name, to)?;
    let Pushed { digest, sent } =
        Registry::open(&address, Limits::default())?.push_archive(path, tag)?;
    let (sent, digest) = (Size::bytes(sent).human(), digest.as_str());
    ui.notice(format!("{address}:{tag} is sha256:{digest}, {sent} sent"));
    Ok(())
}
