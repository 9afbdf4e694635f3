//! The records of a repository: one a name, `.imgforge/names/NAME.json`, and one about the channels,
//! `.imgforge/channels.json`. They are replaced together with the signed entry points.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::state::{Channel, Image, State, VERSION};
use super::{below, check_name, files, journal};
use crate::error::{Error, Result};

const CHANNELS: &str = ".imgforge/channels.json";

/// `.imgforge/channels.json`.
#[derive(Debug, Serialize, Deserialize)]
struct ChannelsFile {
    version: u32,
    url: String,
    channels: BTreeMap<String, Channel>,
}

/// A directory is not what it should be.
pub(super) fn no_repository(root: &Path) -> Error {
    Error::usage(format!("{} is not a repository", root.display()))
        .hint("`imgforge build NAME --publish` makes one")
}

impl State {
    /// Reads the records of the repository in `root`; nothing is locked, and no key is needed.
    ///
    /// # Errors
    /// When there is no repository, or a record is damaged.
    pub fn read(root: &Path) -> Result<Self> {
        let identity = Identity::read(root)?.ok_or_else(|| no_repository(root))?;
        let file = files::read_json::<ChannelsFile>(root, CHANNELS)?;
        let (url, mut channels) = file
            .map(|file| (file.url, file.channels))
            .unwrap_or_default();
        let mut images = BTreeMap::new();
        for name in names(root)? {
            if let Some(image) = Self::read_image(root, &name)? {
                images.insert(name, image);
            }
        }
        for channel in channels.keys() {
            check_name("channel", channel)
                .map_err(|error| damaged(&root.join(CHANNELS), &error.to_string()))?;
        }
        let used = images
            .values()
            .flat_map(|image| image.channels.keys().cloned());
        for channel in used.chain([identity.default_channel.clone()]) {
            channels.entry(channel).or_default();
        }
        Ok(State {
            root: root.to_owned(),
            id: identity.id,
            url,
            default_channel: identity.default_channel,
            images,
            channels,
        })
    }

    /// Refuses to change a channel of the repository in `root` while it is frozen; a directory
    /// that is no repository yet has no frozen channel.
    ///
    /// # Errors
    /// When the channel is frozen, or a record is damaged.
    pub fn refuse_frozen(root: &Path, channel: &str) -> Result<()> {
        match files::read_json::<ChannelsFile>(root, CHANNELS)? {
            Some(file) => super::transaction::refuse_frozen(&file.channels, channel),
            None => Ok(()),
        }
    }

    /// Reads a file of the repository, which no link leads to.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        below::read_present(&self.root, path)
    }

    /// Refuses a file of the repository that is not there itself: a link, a pipe, a device.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn refuse_link(&self, path: &Path) -> Result<()> {
        let opened = below::open(&self.root, path);
        let explained =
            |cause| below::explained(&self.root, &path.to_string_lossy(), "reading", cause);
        opened.map(drop).map_err(explained)
    }

    pub(super) fn read_image(root: &Path, name: &str) -> Result<Option<Image>> {
        let path = record_path(name);
        let Some(image) = files::read_json::<Image>(root, &path)? else {
            return Ok(None);
        };
        if image.version != VERSION {
            return Err(Error::usage(format!(
                "the record of `{name}` was written by a newer imgforge"
            ))
            .hint("use that version"));
        }
        image
            .stays_below(name)
            .map_err(|why| damaged(&root.join(path), &why))?;
        Ok(Some(image))
    }

    /// The record of a name as bytes, with its path below the root.
    pub(super) fn image_file(image: &Image) -> Result<(String, Vec<u8>)> {
        Ok((record_path(&image.name), files::json(image)?))
    }

    /// The record of the channels as bytes, with its path below the root.
    pub(super) fn channels_file(&self) -> Result<(String, Vec<u8>)> {
        let file = ChannelsFile {
            version: VERSION,
            url: self.url.clone(),
            channels: self.channels.clone(),
        };
        Ok((CHANNELS.into(), files::json(&file)?))
    }
}

impl Image {
    /// Why a record is none of this name, or leads out of the directory that the name has.
    fn stays_below(&self, name: &str) -> Result<(), String> {
        if self.name != name {
            return Err(format!("it is the record of `{}`", self.name));
        }
        check_name("image", name).map_err(|error| error.to_string())?;
        let own = Path::new("images").join(name);
        for revision in self.revisions.values() {
            let beside = revision.companions.values().map(|file| &file.path);
            for path in [&revision.file].into_iter().chain(beside) {
                let inside = journal::inside(path).is_ok_and(|path| path.starts_with(&own));
                if !inside {
                    return Err(format!(
                        "it names {path}, which is not below {}",
                        own.display()
                    ));
                }
            }
        }
        let moved = self.history.iter().map(|moved| &moved.channel);
        for channel in self.channels.keys().chain(moved) {
            check_name("channel", channel).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// A record that no imgforge has written; nothing is done with the others until it is gone.
fn damaged(path: &Path, why: &str) -> Error {
    Error::gate(format!("{} is not a record of this repository: {why}", path.display()))
        .cause("nothing was changed")
        .hint("find out who wrote it, and move it away or restore it from a backup or a copy of the repository")
}

fn record_path(name: &str) -> String {
    format!(".imgforge/names/{name}.json")
}

/// The names that have a record.
fn names(root: &Path) -> Result<Vec<String>> {
    let files = below::names(root, ".imgforge/names")?;
    let names = files.iter().filter_map(|file| file.strip_suffix(".json"));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}
