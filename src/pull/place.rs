//! Where a repository is, and what the user's configuration says about its key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Session, virt_builder};
use crate::error::{Error, Result};
use crate::http::Url;
use crate::index;
use crate::recipe::config::RepositoryPlace;
use crate::recipe::problem::nearest;

/// A repository as a client sees it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The directory of the repository.
    pub(super) base: Url,
    /// The signed index of the chosen channel.
    pub(super) index: Url,
    /// The channel, unless it is the default one.
    pub(super) channel: Option<String>,
    /// The public key that the configuration names.
    pub(super) key: Option<PathBuf>,
    /// The fingerprint that the configuration names.
    pub(super) fingerprint: Option<String>,
    /// A directory that imgforge.yaml names as one to publish to: whoever can write there signs.
    pub(super) own: bool,
}

/// Finds the repository that a user named, or the only one there is.
pub(super) fn find(
    session: &Session<'_>,
    repository: Option<&str>,
    channel: Option<&str>,
) -> Result<Place> {
    let Some(text) = repository else {
        return default(session).and_then(|(_, place)| configured(session, place, channel));
    };
    if let Some(place) = session.config.repositories.get(text) {
        return configured(session, place, channel);
    }
    let sources = virt_builder::sources();
    if let Some(source) = sources.iter().find(|source| source.id == text) {
        return at(&source.uri, channel, None).map(|place| source.trusted(place));
    }
    if !text.contains("://") && !text.contains('/') && !Path::new(text).exists() {
        return Err(unknown(session, text, &sources));
    }
    let url = Url::parse_or_path(text)?;
    let place = at(&url, channel, None)?;
    let known = sources.iter().find(|source| source.uri == place.index);
    Ok(match known {
        Some(source) => source.trusted(place),
        None => place,
    })
}

/// The repository of imgforge.yaml that is meant when none is named.
fn default<'a>(session: &Session<'a>) -> Result<(&'a str, &'a RepositoryPlace)> {
    let all = &session.config.repositories;
    let only = all.iter().next().filter(|_| all.len() == 1);
    only.or_else(|| all.get_key_value("main"))
        .map(|(name, place)| (name.as_str(), place))
        .ok_or_else(|| {
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            let known = match names.as_slice() {
                [] => String::new(),
                names => format!("; imgforge.yaml knows {}", names.join(", ")),
            };
            Error::usage("no repository is named").hint(format!(
                "write REPO#NAME, where REPO is an address or a directory{known}"
            ))
        })
}

fn unknown(session: &Session<'_>, text: &str, sources: &[virt_builder::Source]) -> Error {
    let names: BTreeSet<&str> = session
        .config
        .repositories
        .keys()
        .map(String::as_str)
        .chain(sources.iter().map(|source| source.id.as_str()))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let hint = match (nearest(text, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => {
            "name a repository by its address, such as https://images.example.org/".to_owned()
        }
        (None, names) => format!(
            "known are {}; others are named by their address",
            names.join(", ")
        ),
    };
    Error::usage(format!("there is no repository `{text}`")).hint(hint)
}

/// A repository of imgforge.yaml: its directory where that is on this host, else its address.
fn configured(
    session: &Session<'_>,
    repository: &RepositoryPlace,
    channel: Option<&str>,
) -> Result<Place> {
    let root = session.root.unwrap_or(Path::new("."));
    let local = repository.path.as_ref().map(|path| root.join(path));
    let here = local.filter(|path| path.is_dir() || repository.url.is_none());
    let own = here.is_some();
    let url = match (here, &repository.url) {
        (Some(path), _) => Url::of_path(&path)?,
        (None, Some(url)) => Url::parse(url)?,
        (None, None) => return Err(Error::internal("a repository has neither path nor url")),
    };
    let default_channel = repository.default_channel.as_deref().unwrap_or("stable");
    let mut place = at(&url, channel, Some(default_channel))?;
    place.key = repository.key.as_ref().map(|key| root.join(key));
    place.fingerprint = repository.fingerprint.clone();
    place.own = own;
    Ok(place)
}

/// A repository at an address, which is that of its directory or of one of its index files.
fn at(url: &Url, channel: Option<&str>, default_channel: Option<&str>) -> Result<Place> {
    if let Some(channel) = channel.filter(|channel| !index::is_id(channel)) {
        return Err(Error::usage(format!(
            "`{channel}` cannot be the name of a channel"
        )));
    }
    let is_index = url.file_name().ends_with(".asc")
        || url.file_name() == "index"
        || url.local().is_some_and(|path| path.is_file());
    let (mut base, mut index, mut named) = if is_index {
        (url.join(".")?, url.clone(), None)
    } else {
        let base = url.as_directory();
        (base.clone(), base.join("index.asc")?, None)
    };
    if let Some(of) = is_index.then(|| channel_of(url)).flatten() {
        (base, named) = (url.join("../../")?, Some(of));
    }
    if let Some(channel) = channel {
        let is_default = default_channel == Some(channel);
        named = (!is_default).then(|| channel.to_owned());
        index = match &named {
            Some(channel) => base.join(&format!("channels/{channel}/index.asc"))?,
            None => base.join("index.asc")?,
        };
    }
    Ok(Place {
        base,
        index,
        channel: named,
        key: None,
        fingerprint: None,
        own: false,
    })
}

/// The channel of `…/channels/CHANNEL/index.asc`.
fn channel_of(url: &Url) -> Option<String> {
    let mut parts = url.path().rsplit('/');
    let channel = parts.nth(1)?;
    (parts.next() == Some("channels") && index::is_id(channel)).then(|| channel.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str, channel: Option<&str>) -> (String, String, Option<String>) {
        let place = at(&Url::parse(url).unwrap(), channel, Some("stable")).unwrap();
        (
            place.base.to_string(),
            place.index.to_string(),
            place.channel,
        )
    }

    #[test]
    fn directories_and_index_files_name_a_repository() {
        let own = |channel: &str| Some(channel.to_owned());
        for (url, channel, base, index, named) in [
            (
                "http://h/r",
                None,
                "http://h/r/",
                "http://h/r/index.asc",
                None,
            ),
            (
                "http://h/r/",
                Some("stable"),
                "http://h/r/",
                "http://h/r/index.asc",
                None,
            ),
            (
                "http://h/r",
                Some("nightly"),
                "http://h/r/",
                "http://h/r/channels/nightly/index.asc",
                own("nightly"),
            ),
            (
                "http://h/r/index.asc",
                None,
                "http://h/r/",
                "http://h/r/index.asc",
                None,
            ),
            (
                "http://h/r/channels/nightly/index.asc",
                None,
                "http://h/r/",
                "http://h/r/channels/nightly/index.asc",
                own("nightly"),
            ),
        ] {
            let expected = (base.to_owned(), index.to_owned(), named);
            assert_eq!(place(url, channel), expected, "{url}");
        }
        assert!(at(&Url::parse("http://h/r").unwrap(), Some("../x"), None).is_err());
    }
}
