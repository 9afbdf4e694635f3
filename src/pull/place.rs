//! Where a repository is, and what the user's configuration says about its key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Reference, Session, source, virt_builder};
use crate::error::{Error, Result};
use crate::gpg::Signers;
use crate::http::Url;
use crate::index::{self, Claims};
use crate::recipe::Config;
use crate::recipe::config::RepositoryPlace;
use crate::text::nearest;

/// A repository as a client sees it.
#[derive(Debug, Clone)]
pub(super) struct RemoteRepository {
    /// The directory of the repository; of an image in a registry, that of its tag.
    pub(super) base: Url,
    /// What whose signatures count is remembered of: all images of a repository, wherever it is.
    pub(super) whole: Url,
    /// The signed index of the chosen channel.
    pub(super) index: Url,
    /// The channel, unless it is the default one.
    pub(super) channel: Option<String>,
    /// The name of the default channel, where the configuration says it.
    pub(super) default_channel: Option<String>,
    /// Whose signatures count, as the configuration says.
    pub(super) signers: Signers,
    /// A directory that imgforge.yaml names as one to publish to: whoever can write there signs.
    pub(super) own: bool,
}

impl RemoteRepository {
    /// What the names of the files end with that the second key of a rotation has signed.
    pub(super) fn suffix(&self) -> Option<&str> {
        suffix(self.index.file_name())
    }

    /// The address under which is remembered how new what is signed at `url` was. Where the index of a tag lies in a
    /// registry, is for its manifest to say, which nobody signs: it is one and the same wherever that is.
    pub(super) fn remembered_as(&self, url: &Url) -> Result<Url> {
        match self.base.is_oci() && *url == self.index {
            true => self.base.join("index.asc"),
            false => Ok(url.clone()),
        }
    }

    /// Refuses an index that says it is another channel's, or that it does not count any more.
    pub(super) fn refuse_other(&self, claims: &Claims, allow_expired: bool) -> Result<()> {
        let (channel, default) = (self.channel.as_deref(), self.default_channel.as_deref());
        if let Some(other) = claims.other_channel(channel, default) {
            let ours = channel.or(default).unwrap_or("the default channel");
            return Err(Error::gate(format!(
                "{} is the index of the channel `{other}`, not of `{ours}`",
                self.index
            ))
            .cause("another index is served in its place: by mistake, or on purpose")
            .hint(format!(
                "tell the repository's owner; --channel {other} takes that channel"
            )));
        }
        match claims.expired(Timestamp::now()).filter(|_| !allow_expired) {
            Some(end) => Err(expired(&self.index.to_string(), end)),
            None => Ok(()),
        }
    }
}

/// What is signed with a time after which it does not count.
pub(super) fn expired(what: &str, end: Timestamp) -> Error {
    Error::gate(format!("{what} was valid until {end:.0}"))
        .cause("an old one is served, by mistake or on purpose, or its owner has published nothing since")
        .hint(
            "its owner renews it with any publication, or `imgforge channel renew`; \
             `imgforge pull --allow-older` takes it all the same",
        )
}

/// Finds the repository that a user named, or the only one there is.
pub(super) fn find(
    session: &Session<'_>,
    reference: &Reference,
    channel: Option<&str>,
) -> Result<RemoteRepository> {
    if reference.is_in_registry() {
        return source::place(session, reference, channel);
    }
    let Some(text) = reference.repository.as_deref() else {
        return default(session).and_then(|(_, place)| configured(session, place, channel));
    };
    if let Some(place) = session.config.repositories.get(text) {
        return configured(session, place, channel);
    }
    let sources = virt_builder::sources();
    if let Some(source) = sources.iter().find(|source| source.id == text) {
        return at_address(session, &source.uri, true, channel, &sources);
    }
    if !text.contains("://") && !text.contains('/') && !Path::new(text).exists() {
        return Err(unknown(session, text, &sources));
    }
    let url = Url::parse_or_path(text)?;
    let index = is_index(&url) || sources.iter().any(|source| source.uri == url);
    at_address(session, &url, index, channel, &sources)
}

/// A repository at an address, however the user came to it: imgforge.yaml says whose signatures
/// count where it knows the repository, else virt-builder's configuration.
fn at_address(
    session: &Session<'_>,
    url: &Url,
    index: bool,
    channel: Option<&str>,
    sources: &[virt_builder::IndexSource],
) -> Result<RemoteRepository> {
    let mut place = at(url, index, channel, None)?;
    let root = session.root.unwrap_or(Path::new("."));
    if let Some(known) = configured_at(session.config, root, &place.base) {
        place = at(url, index, channel, Some(default_channel(known)))?;
        trust(&mut place, known, root);
    } else if let Some(source) = sources
        .iter()
        .find(|source| source.uri == *url || source.uri == place.index)
    {
        place = source.trusted(place);
    }
    Ok(place)
}

/// The repository of imgforge.yaml that has this address: its own, or its directory's. `root` is
/// where relative paths start.
pub fn configured_at<'a>(
    config: &'a Config,
    root: &Path,
    url: &Url,
) -> Option<&'a RepositoryPlace> {
    let real = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
    let (url, local) = (url.as_directory(), url.local().map(real));
    config.repositories.values().find(|place| {
        let path = place.path.as_ref().map(|path| real(root.join(path)));
        let address = place
            .url
            .as_ref()
            .and_then(|url| Url::parse(url.as_str()).ok());
        // It may be that of an index.
        let own = address.and_then(|own| at(&own, is_index(&own), None, None).ok());
        (local.is_some() && local == path) || own.is_some_and(|own| own.base == url)
    })
}

fn default_channel(place: &RepositoryPlace) -> &str {
    place.default_channel.as_deref().unwrap_or("stable")
}

fn trust(place: &mut RemoteRepository, configured: &RepositoryPlace, root: &Path) {
    place.signers = configured.signers(root);
    place.own = place.base.local().is_some();
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

fn unknown(session: &Session<'_>, text: &str, sources: &[virt_builder::IndexSource]) -> Error {
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
) -> Result<RemoteRepository> {
    let root = session.root.unwrap_or(Path::new("."));
    let local = repository.path.as_ref().map(|path| root.join(path));
    let here = local.filter(|path| path.is_dir() || repository.url.is_none());
    let url = match (here, &repository.url) {
        (Some(path), _) => Url::of_path(&path)?,
        (None, Some(url)) => Url::parse(url.as_str())?,
        (None, None) => return Err(Error::internal("a repository has neither path nor url")),
    };
    let default = Some(default_channel(repository));
    let mut place = at(&url, is_index(&url), channel, default)?;
    trust(&mut place, repository, root);
    Ok(place)
}

/// Whether an address is that of an index file, and not of a repository's directory.
fn is_index(url: &Url) -> bool {
    url.file_name().ends_with(".asc")
        || url.file_name() == "index"
        || url.local().is_some_and(|path| path.is_file())
}

/// A repository at an address, which is that of its directory or of one of its index files.
fn at(
    url: &Url,
    is_index: bool,
    channel: Option<&str>,
    default_channel: Option<&str>,
) -> Result<RemoteRepository> {
    if let Some(channel) = channel.filter(|channel| !index::is_id(channel)) {
        return Err(Error::usage(format!(
            "`{channel}` cannot be the name of a channel"
        )));
    }
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
        let file = match suffix(index.file_name()) {
            Some(suffix) => format!("index-{suffix}.asc"),
            None => "index.asc".to_owned(),
        };
        index = match &named {
            Some(channel) => base.join(&format!("channels/{channel}/{file}"))?,
            None => base.join(&file)?,
        };
    }
    Ok(RemoteRepository {
        whole: base.clone(),
        base,
        index,
        channel: named,
        default_channel: default_channel.map(str::to_owned),
        signers: Signers::default(),
        own: false,
    })
}

/// `SUFFIX` of `index-SUFFIX.asc`.
fn suffix(file: &str) -> Option<&str> {
    let suffix = file.strip_prefix("index-")?.strip_suffix(".asc")?;
    index::is_id(suffix).then_some(suffix)
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
        let url = Url::parse(url).unwrap();
        let place = at(&url, is_index(&url), channel, Some("stable")).unwrap();
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
        let second = Url::parse("http://h/r/index-2027.asc").unwrap();
        for (channel, index) in [
            (None, "http://h/r/index-2027.asc"),
            (
                Some("nightly"),
                "http://h/r/channels/nightly/index-2027.asc",
            ),
        ] {
            let place = at(&second, true, channel, None).unwrap();
            assert_eq!(
                (place.index.to_string().as_str(), place.suffix()),
                (index, Some("2027"))
            );
        }
        let url = Url::parse("http://h/r").unwrap();
        assert!(at(&url, false, Some("../x"), None).is_err());
        // virt-builder's `uri=` is the index, whatever it is called.
        let place = at(&url, true, None, None).unwrap();
        assert_eq!(
            (place.base.to_string(), place.index),
            ("http://h/".into(), url)
        );
    }
}
