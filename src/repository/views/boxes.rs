//! `vagrant/NAME.json`: Vagrant's box catalogue, one a channel and image that has boxes.
//!
//! A catalogue has boxes of one architecture and each provider once in a version: Vagrant before
//! 2.4 does not look at `architecture`, and takes the newest version and the last box in it
//! (`findings/vagrant-last-provider-whatever-the-architecture.sh`). So architectures other than x86_64
//! have catalogues of their own, `vagrant/arm64/NAME.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::offer::word;
use super::{Change, ViewFile};
use crate::error::Result;
use crate::machine::{self, debian_name};
use crate::repository::state::{CompanionRecord, Image, State};
use crate::targets::Format;

/// Renders the catalogues of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let mut files = Vec::new();
    for image in change.images() {
        for channel in state.channels.keys() {
            let revisions = image.revisions.values();
            let archs: BTreeSet<&str> = revisions.map(|one| one.arch.as_str()).collect();
            for arch in archs {
                files.extend(catalogue(state, image, channel, arch));
            }
        }
    }
    Ok(files)
}

/// Where the catalogue of an image is, below the repository's root.
pub(super) fn path(state: &State, image: &str, channel: &str, arch: &str) -> String {
    let dir = match machine::is_default(arch) {
        true => String::new(),
        false => format!("{}/", debian_name(arch)),
    };
    format!("{}vagrant/{dir}{image}.json", state.channel_dir(channel))
}

/// The catalogue for one architecture, or that it goes; `None` if there is none to go.
fn catalogue(state: &State, image: &Image, channel: &str, arch: &str) -> Option<ViewFile> {
    let path = path(state, &image.name, channel, arch);
    let versions = versions(state, image, channel, arch);
    if versions.is_empty() {
        let there = state.root.join(&path).exists();
        return there.then(|| ViewFile::remove(path));
    }
    let title = image.published().next_back();
    let title = title.map(|(_, last)| last.title.as_str());
    let text = json!({
        "name": state.entry_id(&image.name, channel),
        "description": title,
        "versions": versions,
    });
    Some(ViewFile::new(path, format!("{text:#}\n")))
}

/// Every revision that the channel had, as long as it is offered; the newest first.
fn versions(state: &State, image: &Image, channel: &str, arch: &str) -> Vec<Value> {
    let mut placed: BTreeMap<u64, String> = BTreeMap::new();
    for moved in image.history_of(channel) {
        if let Some(number) = moved.revision {
            let day: String = moved.stamp.when.to_string().chars().take(10).collect();
            placed.insert(number, day.replace('-', ""));
        }
    }
    // The clocks of two publishers may differ: a later number is never of an earlier day.
    let mut latest = String::new();
    for day in placed.values_mut() {
        if *day < latest {
            day.clone_from(&latest);
        }
        latest.clone_from(day);
    }
    let canaries: BTreeSet<u64> = image
        .channels
        .get(channel)
        .into_iter()
        .flat_map(|placement| placement.canary.values().map(|canary| canary.revision))
        .collect();
    let offered = placed
        .iter()
        .rev()
        .filter(|(number, _)| !canaries.contains(number));
    offered
        .filter_map(|(number, day)| {
            let revision = image
                .revisions
                .get(number)
                .filter(|revision| revision.offered() && revision.arch == arch)?;
            let boxes = revision.artifacts().map(|(_, file)| file);
            let boxes = boxes.filter(|file| file.is(Format::VagrantBox));
            let once: BTreeMap<&str, &CompanionRecord> = boxes
                .map(|file| (file.word(word::PROVIDER), file))
                .collect();
            let providers: Vec<Value> = once
                .values()
                .map(|file| provider(state, &revision.arch, file))
                .collect();
            let version = format!("{day}.{number}.0");
            (!providers.is_empty())
                .then(|| json!({"version": version, "status": "active", "providers": providers}))
        })
        .collect()
}

fn provider(state: &State, arch: &str, file: &CompanionRecord) -> Value {
    json!({
        "name": file.word(word::PROVIDER),
        "url": format!("{}/{}", state.url, file.path),
        "checksum_type": "sha256",
        "checksum": file.sha256,
        "architecture": debian_name(arch),
        "default_architecture": true,
    })
}
