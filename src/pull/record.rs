//! Revisions that an index does not list any more: the signed record of all of a name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::choose::Wanted;
use super::place::Place;
use super::trust::Trust;
use super::{Image, LARGEST_INDEX, Session};
use crate::error::{Error, Result};
use crate::index;

/// What `images/NAME/revisions.sjson` says of one revision.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Recorded {
    arch: String,
    file: String,
    sha512: String,
    size: u64,
    virtual_size: u64,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    yanked: Option<String>,
    #[serde(default)]
    removed: bool,
}

#[derive(Debug, Deserialize)]
struct Record {
    name: String,
    revisions: BTreeMap<String, Recorded>,
}

/// A revision that the index does not list any more, from the signed record of all.
pub(super) fn at_revision(
    session: &Session<'_>,
    place: &Place,
    trust: &mut Trust<'_>,
    wanted: &Wanted<'_>,
    revision: u64,
) -> Result<Image> {
    let suffix = place.channel.as_ref().map(|channel| format!("-{channel}"));
    let short = suffix.and_then(|suffix| wanted.name.strip_suffix(&suffix).map(str::to_owned));
    let name = short.as_deref().unwrap_or(wanted.name);
    let nowhere = || Error::usage(format!("`{name}` has no revision {revision}"));
    let url = place.base.join(&format!("images/{name}/revisions.sjson"))?;
    let Some(signed) = session.client.read_optional(&url, LARGEST_INDEX)? else {
        return Err(nowhere()
            .cause("the index has another one, and the repository keeps no record of earlier ones")
            .hint("leave @REV out to take the current one"));
    };
    let text = trust.verify(&signed, &url)?.text;
    let mut record: Record = serde_json::from_str(&text)
        .map_err(|cause| Error::gate(format!("{url} cannot be understood")).cause(cause))?;
    let numbers: Vec<String> = record.revisions.keys().cloned().collect();
    let found = record.revisions.remove(&revision.to_string());
    let Some(found) = found.filter(|_| record.name == name) else {
        return Err(nowhere().hint(format!("it has {}", numbers.join(", "))));
    };
    if let Some(why) = &found.yanked {
        return Err(
            Error::gate(format!("revision {revision} of `{name}` was yanked"))
                .cause(why)
                .hint("leave @REV out to take the current one"),
        );
    }
    if found.removed {
        return Err(nowhere()
            .cause("it was removed")
            .hint("leave @REV out to take the current one"));
    }
    if index::normalize_arch(&found.arch) != index::normalize_arch(wanted.arch) {
        return Err(Error::usage(format!(
            "revision {revision} of `{name}` is for {}, not for {}",
            found.arch, wanted.arch
        ))
        .hint(format!("--arch {} takes it all the same", found.arch)));
    }
    Ok(Image {
        name: wanted.name.to_owned(),
        entry: name.to_owned(),
        revision,
        arch: found.arch,
        url: place.base.join(&found.file)?,
        sha512: found.sha512,
        size: Some(found.size),
        disk_size: found.virtual_size,
        format: found.format,
    })
}
