//! Where the images of a repository go in a registry, and what is there already.

use std::collections::{BTreeMap, BTreeSet};

use super::super::renew::text_of;
use super::super::replica::Replica;
use super::super::set;
use super::super::state::Image;
use super::{CHANNEL, IMAGE, LATEST, OWNER};
use crate::address::OciAddress;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::gpg::verify;
use crate::http::Limits;
use crate::index::Claims;
use crate::registry::{CHANNEL_INDEX, Manifest, Registry, check_prefix, is_tag};

/// More than any index has, in bytes.
const LARGEST_INDEX: u64 = 64 << 20;

/// An image, and its repository in the registry.
pub(super) struct Shelf<'a> {
    pub(super) image: &'a Image,
    pub(super) registry: Registry,
    /// What the tags of the repository's channels, and of the image's revisions, have.
    pub(super) there: BTreeMap<String, Sha256>,
}

/// Finds the places of all images, and refuses what must not be written over before anything is sent.
pub(super) fn shelves<'a>(replica: &'a Replica, to: &str) -> Result<Vec<Shelf<'a>>> {
    check_prefix(to)?;
    for channel in replica.state.channels.keys() {
        let default = *channel == replica.state.default_channel;
        let why = match channel.as_str() {
            LATEST if !default => "its tag means something else there",
            number if number.parse::<u64>().is_ok() => "its tag means something else there",
            other if is_tag(other) => continue,
            _ => "no tag begins with `.` or `-`, or has more than 128 characters",
        };
        return Err(Error::usage(format!(
            "the channel `{channel}` cannot be in a registry: {why}"
        ))
        .hint("give the channel another name, or copy to a directory"));
    }
    let images = replica
        .state
        .images
        .values()
        .filter(|image| image.is_listed());
    let mut all = vec![];
    for image in images {
        let address = OciAddress::below(to, &image.name).map_err(|_| {
            Error::usage(format!(
                "`{}` cannot be the name of an image in a registry",
                image.name
            ))
            .hint("such names have small letters, digits and single `.`, `_`, `-` between them: rename the image, or copy to a directory")
        })?;
        let registry = Registry::open(&address, Limits::default())?;
        let tags: BTreeSet<String> = registry.tags()?.into_iter().collect();
        let mut there = BTreeMap::new();
        let numbers = image.revisions.keys().map(u64::to_string);
        let ours = replica.tags().chain(numbers);
        // Not every registry lists its tags.
        let may_be = |tag: &String| tags.is_empty() || tags.contains(tag);
        for tag in ours.filter(may_be) {
            if let Some(bytes) = registry.manifest(&tag)? {
                replica.refuse_other(&registry, &tag, &bytes)?;
                there.insert(tag, Sha256::of(&bytes));
            }
        }
        all.push(Shelf {
            image,
            registry,
            there,
        });
    }
    Ok(all)
}

impl Replica {
    /// The tags of all channels.
    pub(super) fn tags(&self) -> impl Iterator<Item = String> {
        let channels = self.state.channels.keys().cloned();
        channels.chain([LATEST.to_owned()])
    }

    /// The channel of a tag.
    pub(super) fn channel<'a>(&'a self, tag: &'a str) -> &'a str {
        match tag {
            LATEST => &self.state.default_channel,
            channel => channel,
        }
    }

    /// A tag of something else, of another repository, or of a later state of this one is not written over.
    pub(super) fn refuse_other(&self, registry: &Registry, tag: &str, there: &[u8]) -> Result<()> {
        let address = registry.address();
        let is_revision = tag.parse::<u64>().is_ok();
        let what = if is_revision { IMAGE } else { CHANNEL };
        let ours = Manifest::read(there);
        let ours = ours.filter(|it| it.artifact_type.as_deref() == Some(what));
        let Some(ours) = ours else {
            return Err(Error::usage(format!(
                "{address} has something else under the tag `{tag}`"
            ))
            .hint("name another prefix: nothing was written over"));
        };
        let other = || {
            let error = Error::usage(format!("{address} is of another repository"));
            Err(error.hint("name another prefix, or an older copy of this repository"))
        };
        let named = ours.annotations.get(OWNER);
        if named.is_some_and(|named| *named != self.state.id) {
            return other();
        }
        if is_revision {
            return Ok(());
        }
        let path = self.state.index_path(self.channel(tag));
        // Earlier versions of imgforge gave it no role. Of another default channel, it lies elsewhere.
        let index = ours.by_role(CHANNEL_INDEX).or_else(|| ours.titled(&path));
        let index = match index.or_else(|| ours.titled("index.asc")) {
            None => None,
            Some(index) => match (index.data(), index.digest()) {
                (Some(bytes), _) => Some(bytes),
                (None, Some(digest)) => registry.read_blob(&digest, LARGEST_INDEX)?,
                (None, None) => None,
            },
        };
        let Some(index) = index else { return Ok(()) };
        // Whoever has signed that.
        if let Some(owner) = Claims::parse(&text_of(&index)).owner
            && owner.repository != self.state.id
        {
            return other();
        }
        // What is damaged, or signed by an older key, is replaced.
        let Ok(verified) = verify(&index, &self.keyring) else {
            return Ok(());
        };
        match (self.state.serial(), Claims::parse(&verified.text).state) {
            (ours, theirs) if ours < theirs => {
                let number = |serial: Option<u64>| serial.unwrap_or_default();
                Err(Error::gate(format!(
                    "{} is older than its copy: of transaction {}, and {address}:{tag} of {}",
                    self.state.root.join(set::PATH).display(),
                    number(ours),
                    number(theirs)
                ))
                .cause("somebody put an old state back, restored a backup, or published to another copy")
                .hint(
                    "to continue from what is here, `imgforge channel renew --allow-older`, which \
                     continues the numbers that this host has seen, or another prefix",
                ))
            }
            _ => Ok(()),
        }
    }
}
