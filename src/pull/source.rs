//! Where the files of a repository are: on a web server, on this host, or in a registry.
//!
//! In a registry each image of a repository is a repository of its own. The manifest of a channel's tag has all
//! that a reader needs, by its path below the repository: what is signed, and the disks. So what is read of
//! one tag belongs together, and is verified as what a web server gives is.
//!
//! The address of such a file is `oci://HOST/NAME/-/TAG/PATH`: no part of a NAME is `-`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::place::RemoteRepository;
use super::{Reference, Session};
use crate::address::OciAddress;
use crate::error::{Error, Kind, Result};
use crate::gpg::Signers;
use crate::http::{Client, Piece, Stream, Url};
use crate::index;
use crate::mutex::Unpoisoned as _;
use crate::registry::{CHANNEL_INDEX, Descriptor, Manifest, Registry};
use crate::repository::LATEST;

/// Between the name of a repository in a registry and a tag.
pub(super) const BETWEEN: &str = "/-/";

/// The registries that a session reads from.
#[derive(Debug, Default)]
pub struct Registries(Mutex<HashMap<OciAddress, Arc<TaggedFiles>>>);

/// A repository of a registry, and what its tags have.
#[derive(Debug)]
pub(super) struct TaggedFiles {
    registry: Registry,
    tags: Mutex<HashMap<String, Option<Arc<Manifest>>>>,
}

/// Where the bytes of one file come from.
pub(super) enum Source<'a> {
    /// From a server, or this host.
    Url(&'a Client, &'a Url),
    /// From a registry.
    Blob(Arc<TaggedFiles>, Descriptor),
    /// It is not there.
    Missing(&'a Url),
}

/// An image in a registry. Its default channel has the tag `latest`, too.
pub(super) fn place(
    session: &Session<'_>,
    reference: &Reference,
    channel: Option<&str>,
) -> Result<RemoteRepository> {
    let named = reference.channel.as_deref();
    if let (Some(named), Some(channel)) = (named, channel)
        && named != channel
    {
        return Err(Error::usage(format!(
            "`{reference}` and --channel {channel} name two channels"
        ))
        .hint("leave one of them out"));
    }
    let channel = named.or(channel).filter(|channel| *channel != LATEST);
    if let Some(channel) = channel.filter(|channel| !index::is_id(channel)) {
        return Err(Error::usage(format!(
            "`{channel}` cannot be the name of a channel"
        )));
    }
    let repository = reference.repository.as_deref().unwrap_or_default();
    let base = at_tag(repository, &reference.name, channel.unwrap_or(LATEST))?;
    // That of the default channel lies at the top, whichever that is.
    let top = base.join("index.asc")?;
    let is_missing = |url: &Url| {
        let found = session.source(url)?;
        Ok::<_, Error>(matches!(found, Source::Missing(_)))
    };
    let own = format!("channels/{}/index.asc", channel.unwrap_or(LATEST));
    let index = match session.index_of(&top)? {
        // A tag that was moved to another channel has an index elsewhere, which is not looked for.
        Some(path) if path == "index.asc" => top,
        Some(path) if path == own => base.join(&own)?,
        // Earlier versions of imgforge gave it no role.
        _ => {
            let own = base.join(&own)?;
            if is_missing(&own)? { top } else { own }
        }
    };
    let place = RemoteRepository {
        index,
        base,
        whole: Url::parse(repository)?.as_directory(),
        channel: channel.map(str::to_owned),
        default_channel: None,
        signers: Signers::default(),
        own: false,
    };
    match is_missing(&place.index)? {
        true => Err(super::no_index(session, &place)),
        false => Ok(place),
    }
}

/// The address of the files that a tag has; none where that is no address of an image in a registry.
fn at_tag(repository: &str, name: &str, tag: &str) -> Result<Url> {
    Url::parse(&format!("{repository}/{name}{BETWEEN}{tag}/"))
}

impl Session<'_> {
    /// Where a file is.
    ///
    /// # Errors
    /// When a registry cannot be asked.
    pub(super) fn source<'a>(&'a self, url: &'a Url) -> Result<Source<'a>> {
        let Some((files, tag, path)) = self.tagged(url)? else {
            return Ok(Source::Url(self.client, url));
        };
        let found = match files
            .manifest(&tag)?
            .as_deref()
            .and_then(|it| it.titled(&path).cloned())
        {
            Some(found) => Some(found),
            // Another revision than the channel has, under a tag of its own.
            None => match revision_of(&path) {
                Some(revision) if revision != tag => {
                    let own = files.manifest(revision)?;
                    own.as_deref().and_then(|it| it.titled(&path).cloned())
                }
                _ => None,
            },
        };
        Ok(match found {
            Some(descriptor) => Source::Blob(files, descriptor),
            None => Source::Missing(url),
        })
    }

    /// Where the index of the channel is that a tag has, by its role.
    fn index_of(&self, any: &Url) -> Result<Option<String>> {
        let Some((files, tag, _)) = self.tagged(any)? else {
            return Ok(None);
        };
        let manifest = files.manifest(&tag)?;
        let index = manifest.as_deref().and_then(|it| it.by_role(CHANNEL_INDEX));
        Ok(index.and_then(Descriptor::title).map(str::to_owned))
    }

    /// Reads a small file, as [`Client::read_known`] does.
    pub(super) fn read_known(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.source(url)? {
            Source::Url(client, url) => client.read_known(url, limit),
            Source::Blob(files, blob) => files.read(&blob, url, limit).map(Some),
            Source::Missing(_) => Ok(None),
        }
    }

    /// Reads a small file that need not be there, as [`Client::read_optional`] does.
    pub(super) fn read_optional(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        match url.is_oci() {
            true => self.read_known(url, limit),
            false => self.client.read_optional(url, limit),
        }
    }

    /// As [`Session::read_known`], asked for again, past all that keeps copies.
    pub(super) fn read_anew(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.tagged(url)? {
            Some((files, ..)) => {
                files.tags.lock().unpoisoned().clear();
                self.read_known(url, limit)
            }
            None => self.client.read_anew(url, limit),
        }
    }

    /// The tags of an image in a registry.
    pub(super) fn tags(&self, url: &Url) -> Result<Vec<String>> {
        match self.tagged(url)? {
            Some((files, ..)) => files.registry.tags(),
            None => Ok(vec![]),
        }
    }

    /// The repository of a registry that an address is in, with tag and path.
    fn tagged(&self, url: &Url) -> Result<Option<(Arc<TaggedFiles>, String, String)>> {
        if !url.is_oci() {
            return Ok(None);
        }
        let text = url.to_string();
        let parts = text.split_once(BETWEEN);
        let parts = parts.and_then(|(own, rest)| Some((own, rest.split_once('/')?)));
        let (own, (tag, path)) = parts.ok_or_else(|| {
            Error::usage(format!(
                "`{url}` is not the address of a file in a registry"
            ))
        })?;
        let address: OciAddress = own.parse().map_err(Error::usage)?;
        let mut known = self.registries.0.lock().unpoisoned();
        let files = match known.get(&address) {
            Some(files) => Arc::clone(files),
            None => {
                let files = Arc::new(TaggedFiles {
                    registry: Registry::open(&address, self.client.limits())?,
                    tags: Mutex::default(),
                });
                known.insert(address, Arc::clone(&files));
                files
            }
        };
        Ok(Some((files, tag.to_owned(), path.to_owned())))
    }
}

/// REVISION of `images/NAME/REVISION/…`.
fn revision_of(path: &str) -> Option<&str> {
    let mut parts = path.strip_prefix("images/")?.split('/');
    let revision = parts.nth(1)?;
    (parts.next().is_some() && revision.parse::<u64>().is_ok()).then_some(revision)
}

impl TaggedFiles {
    fn manifest(&self, tag: &str) -> Result<Option<Arc<Manifest>>> {
        if let Some(known) = self.tags.lock().unpoisoned().get(tag) {
            return Ok(known.clone());
        }
        let bytes = self.registry.manifest(tag)?;
        let manifest = bytes.map(|bytes| {
            Manifest::read(&bytes).map(Arc::new).ok_or_else(|| {
                let address = self.registry.address();
                Error::gate(format!("{address}:{tag} is not an image of imgforge"))
                    .cause("it is a container, or something else")
                    .hint("name one that `imgforge repo copy oci://…` has put there")
            })
        });
        let manifest = manifest.transpose()?;
        let mut tags = self.tags.lock().unpoisoned();
        tags.insert(tag.to_owned(), manifest.clone());
        Ok(manifest)
    }

    fn read(&self, blob: &Descriptor, url: &Url, limit: u64) -> Result<Vec<u8>> {
        if let Some(bytes) = blob.data() {
            return Ok(bytes);
        }
        let digest = digest(blob, url)?;
        let bytes = self.registry.read_blob(&digest, limit)?;
        bytes.ok_or_else(|| lost(url))
    }
}

/// A file as it arrives. A token that ended on the way costs another one.
pub(super) struct Arriving<'a> {
    source: &'a Source<'a>,
    url: &'a Url,
    pub(super) stream: Stream<'a>,
    at: u64,
    end: Option<u64>,
    renewed_at: Option<u64>,
}

impl Arriving<'_> {
    /// As [`Stream::next_piece`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            let piece = self.stream.next_piece();
            match &piece {
                Ok(Some(Piece::Bytes(bytes))) => self.at += bytes.len() as u64,
                Ok(Some(Piece::Restart)) => (self.at, self.end) = (0, None),
                Ok(None) => {}
                Err(error) => {
                    let is_own = !matches!(error.kind(), Kind::Interrupted(_));
                    if is_own && self.renewed_at != Some(self.at) && self.source.renew()? {
                        let known = self.stream.validator().map(str::to_owned);
                        let (at, end) = (self.at, self.end);
                        self.stream = self.source.start(self.url, at, end, known.as_deref())?;
                        self.renewed_at = Some(at);
                        continue;
                    }
                }
            }
            return piece;
        }
    }
}

impl<'s> Source<'s> {
    /// Starts to read a part of the file, as [`Client::open_at`] does.
    pub(super) fn open_at(
        &'s self,
        url: &'s Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Arriving<'s>> {
        Ok(Arriving {
            source: self,
            url,
            stream: self.start(url, start, end, validator)?,
            at: start,
            end,
            renewed_at: None,
        })
    }

    /// Whether there is another token, where the last one has ended.
    fn renew(&self) -> Result<bool> {
        match self {
            Source::Blob(files, _) => files.registry.renew(),
            Source::Url(..) | Source::Missing(_) => Ok(false),
        }
    }

    fn start(
        &self,
        url: &Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Stream<'_>> {
        match self {
            Source::Url(client, url) => client.open_at(url, start, end, validator),
            Source::Blob(files, blob) => {
                let digest = digest(blob, url)?;
                let stream = files.registry.open_blob(&digest, start, end, validator)?;
                stream.ok_or_else(|| lost(url))
            }
            Source::Missing(url) => Err(lost(url)),
        }
    }
}

fn digest(blob: &Descriptor, url: &Url) -> Result<crate::digest::Sha256> {
    blob.digest().ok_or_else(|| {
        Error::gate(format!("the digest of {url} is not a SHA-256"))
            .hint("tell the repository's owner")
    })
}

fn lost(url: &Url) -> Error {
    Error::stage(format!("{url} is not in the registry, or damaged there")).hint(
        "its owner puts it there with the next `imgforge repo copy`; ask the registry's \
         administrator why it is gone",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_revisions_have_a_tag_of_their_own() {
        for (path, revision) in [
            ("images/web/7/web-0.xz", Some("7")),
            ("images/web/revisions.sjson", None),
            ("images/web/7", None),
            ("images/web/x/y", None),
            ("index.asc", None),
        ] {
            assert_eq!(revision_of(path), revision, "{path}");
        }
    }
}
