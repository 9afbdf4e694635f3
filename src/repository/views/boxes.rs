//! `vagrant/NAME.json`: Vagrant's box catalogue, one a channel and image that has boxes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::offer::{debian_arch, word};
use super::{Change, ViewFile};
use crate::error::Result;
use crate::repository::state::{Beside, Image, State};

/// Renders the catalogues of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let mut files = Vec::new();
    for image in change.names().filter_map(|name| state.images.get(name)) {
        for channel in state.channels.keys() {
            let path = format!("{}vagrant/{}.json", state.channel_dir(channel), image.name);
            let versions = versions(state, image, channel);
            if versions.is_empty() {
                if state.root.join(&path).exists() {
                    files.push(ViewFile::remove(path));
                }
                continue;
            }
            let title = image
                .revisions
                .values()
                .next_back()
                .map(|last| last.title.as_str());
            let text = json!({
                "name": state.entry_id(&image.name, channel),
                "description": title,
                "versions": versions,
            });
            files.push(ViewFile::new(path, format!("{text:#}\n")));
        }
    }
    Ok(files)
}

/// Every revision that the channel had, as long as it is offered; the newest first.
fn versions(state: &State, image: &Image, channel: &str) -> Vec<Value> {
    // Of several architectures each has revisions of its own: they meet in one version a day
    // and number, and the number decides which one is newer.
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
                .filter(|revision| revision.offered())?;
            let boxes = revision.artifacts().map(|(_, file)| file);
            let providers: Vec<Value> = boxes
                .filter(|file| file.word(word::FORMAT) == "box")
                .map(|file| provider(state, &revision.arch, file))
                .collect();
            let version = format!("{day}.{number}.0");
            (!providers.is_empty())
                .then(|| json!({"version": version, "status": "active", "providers": providers}))
        })
        .collect()
}

fn provider(state: &State, arch: &str, file: &Beside) -> Value {
    json!({
        "name": file.word(word::PROVIDER),
        "url": format!("{}/{}", state.url, file.path),
        "checksum_type": "sha256",
        "checksum": file.sha256,
        "architecture": debian_arch(arch),
        "default_architecture": arch == "x86_64",
    })
}
