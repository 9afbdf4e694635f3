//! Revisions that an index does not list any more: the signed record of all of a name.

use jiff::Timestamp;
use sha2::{Digest as _, Sha512};

use super::choose::Requirement;
use super::place::{self, RemoteRepository};
use super::trust::Trust;
use super::{Image, LARGEST_INDEX, Options, Reference, Session};
use crate::error::{Error, Result};
use crate::http::Url;
use crate::index;
use crate::repository::views::revisions::RevisionList;

/// Reads the file beside the blob of `image` whose name ends in `suffix`, verified; none where the
/// signed record has none.
///
/// # Errors
/// When the record or the file cannot be read, or is not what was signed.
pub fn beside(
    session: &Session<'_>,
    reference: &Reference,
    options: &Options<'_>,
    image: &Image,
    suffix: &str,
) -> Result<Option<Vec<u8>>> {
    let place = place::find(session, reference, options.channel)?;
    let mut trust = Trust::find(session, &place, options)?;
    let name = own_name(&place, &image.name);
    let Some((url, mut record)) = read(&place, &mut trust, name)? else {
        return Ok(None);
    };
    let Some(found) = record.revisions.remove(&image.revision) else {
        return Ok(None);
    };
    if found.sha512 != image.sha512 {
        return Err(Error::gate(format!(
            "{url} has other bytes of revision {} of `{name}` than the index",
            image.revision
        ))
        .hint("tell the repository's owner"));
    }
    let mut companions = found.companions.into_iter();
    let Some((_, file)) = companions.find(|(name, _)| name.ends_with(suffix)) else {
        return Ok(None);
    };
    let url = place.base.below(&file.path)?;
    let bytes = session.read_known(&url, LARGEST_INDEX)?;
    let bytes = bytes.ok_or_else(|| Error::stage(format!("{url} does not exist")))?;
    if hex::encode(Sha512::digest(&bytes)) != file.sha512 {
        return Err(Error::gate(format!("{url} is not what was signed"))
            .hint("ask the repository's owner, and do not use it until then"));
    }
    Ok(Some(bytes))
}

/// The name of an image without the channel that entries of an index may carry. In a registry nobody names it so.
pub(super) fn own_name<'a>(place: &RemoteRepository, name: &'a str) -> &'a str {
    let channel = place.channel.as_ref().filter(|_| !place.base.is_oci());
    let suffix = channel.map(|channel| format!("-{channel}"));
    suffix
        .and_then(|suffix| name.strip_suffix(&suffix))
        .unwrap_or(name)
}

/// The verified record of a name, with its address.
fn read(
    place: &RemoteRepository,
    trust: &mut Trust<'_>,
    name: &str,
) -> Result<Option<(Url, RevisionList)>> {
    let at = |file: &str| place.base.join(&format!("images/{name}/{file}.sjson"));
    let mut url = at("revisions")?;
    let mut verified = None;
    // The key that signs the index under its second URL signs the list under one, too.
    if let Some(suffix) = place.suffix() {
        let second = at(&format!("revisions-{suffix}"))?;
        verified = trust.read(&second, true)?;
        if verified.is_some() {
            url = second;
        }
    }
    if verified.is_none() {
        verified = trust.read(&url, true)?;
    }
    let Some(verified) = verified else {
        return Ok(None);
    };
    let record = RevisionList::parse(&verified.text)
        .map_err(|error| error.within(format!("{url} cannot be understood")))?;
    if record.name != name {
        return Err(
            Error::gate(format!("{url} is the record of `{}`", record.name))
                .hint("tell the repository's owner"),
        );
    }
    match record.valid_until().filter(|end| *end <= Timestamp::now()) {
        Some(end) if !trust.allows_older() => Err(place::expired(&url.to_string(), end)),
        _ => {
            trust.saw(&verified, &url)?;
            Ok(Some((url, record)))
        }
    }
}

/// A revision that the index does not list any more, from the signed record of all.
pub(super) fn at_revision(
    place: &RemoteRepository,
    trust: &mut Trust<'_>,
    wanted: &Requirement<'_>,
    revision: u64,
) -> Result<Image> {
    let name = own_name(place, wanted.name);
    let nowhere = || Error::usage(format!("`{name}` has no revision {revision}"));
    let Some((_, mut record)) = read(place, trust, name)? else {
        return Err(nowhere()
            .cause("the index has another one, and the repository keeps no record of earlier ones")
            .hint("leave @REV out to take the current one"));
    };
    let numbers: Vec<String> = record.revisions.keys().map(u64::to_string).collect();
    let Some(found) = record.revisions.remove(&revision) else {
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
        url: place.base.below(&found.file)?,
        sha512: found.sha512,
        size: Some(found.size),
        disk_size: found.virtual_size,
        format: found.format,
        version: found.image_version,
        osinfo: None,
    })
}
