//! Containers, into a registry.

use std::path::Path;

use super::docker::registry_of;
use super::{ArtifactRecord, Format};
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

/// Puts a container into a registry, below `to`, `oci://HOST[/PREFIX]`, by its own name and tag.
///
/// # Errors
/// When its name is none there, or the registry cannot be reached or refuses.
pub fn push(path: &Path, record: &ArtifactRecord, to: &str, ui: &Ui) -> Result<()> {
    let reference = record.about.more.get("reference");
    let named = reference.and_then(|reference| reference.rsplit_once(':'));
    let (name, tag) = named.ok_or_else(|| Error::internal("a container has no name"))?;
    let own = registry_of(name).map_or(name, |host| &name[host.len() + 1..]);
    let address = OciAddress::below(to, own).map_err(|_| {
        Error::usage(format!("`{own}` cannot be the name of a container below {to}"))
            .hint("`reference:` of the target names it: small letters, digits, and single `.`, `_`, `-`, `/` between")
    })?;
    let Pushed { digest, sent } =
        Registry::open(&address, Limits::default())?.push_archive(path, tag)?;
    let (sent, digest) = (Size::bytes(sent).human(), digest.as_str());
    ui.notice(format!("{address}:{tag} is sha256:{digest}, {sent} sent"));
    Ok(())
}
