//! `index.html`: the channels and the images.

use serde_json::{Value, json};

use super::super::Change;
use super::super::offer;
use super::{When, commands};
use crate::machine;
use crate::repository::state::{Image, State};
use crate::targets::Format;
use crate::units::Size;

pub(super) fn page(change: &Change<'_>) -> Value {
    let state = change.state;
    let images: Vec<Value> = state.images.values().filter_map(image).collect();
    json!({
        "url": state.url,
        "channels": state.channels.keys().map(|name| channel(state, name)).collect::<Vec<_>>(),
        "images": images,
        "setup": setup(state),
    })
}

fn channel(state: &State, name: &str) -> Value {
    let frozen = state
        .channels
        .get(name)
        .and_then(|channel| channel.frozen.as_ref());
    let moves = state
        .images
        .values()
        .flat_map(|image| image.history_of(name));
    let last = moves.map(|moved| moved.stamp.when).max();
    let count = state
        .placements(name)
        .filter(|(_, placement)| !placement.current.is_empty());
    // Incus and LXD take https only.
    let secure = state.url.starts_with("https://");
    let streams = offer::of_channel(state, name)
        .any(|offer| offer.artifacts().any(|(_, file)| file.is(Format::Qcow2)));
    json!({
        "name": name,
        "default": name == state.default_channel,
        "images": count.count(),
        "last": last.map(When::of),
        "frozen": frozen.map(|stamp| json!({"when": When::of(stamp.when), "why": stamp.why})),
        "index": state.index_path(name),
        "streams": (secure && streams).then(|| format!("{}streams/v1/index.json", state.channel_dir(name))),
    })
}

/// A row; none for a name whose every revision is gone.
fn image(image: &Image) -> Option<Value> {
    let placed = image.placed();
    let latest = placed
        .iter()
        .next_back()
        .and_then(|number| image.revisions.get(number));
    let offered = image
        .revisions
        .values()
        .rev()
        .find(|revision| revision.offered());
    let latest = latest.or(offered)?;
    let mut places = Vec::new();
    for (channel, placement) in &image.channels {
        let current = placement
            .current
            .iter()
            .map(|(arch, number)| (arch, *number, false));
        let canaries = placement
            .canary
            .iter()
            .map(|(arch, canary)| (arch, canary.revision, true));
        places.extend(current.chain(canaries).map(|(arch, revision, canary)| {
            let named = !machine::is_default(arch);
            json!({"channel": channel, "arch": arch, "named": named, "revision": revision, "canary": canary})
        }));
    }
    let changed = image
        .history
        .last()
        .map_or(latest.created.when, |moved| moved.stamp.when);
    Some(json!({
        "name": image.name,
        "title": latest.title,
        "places": places,
        "size": Size::bytes(latest.size).human(),
        "disk": Size::bytes(latest.virtual_size).human(),
        "changed": When::of(changed),
    }))
}

/// How virt-builder gets to know the default channel, or the first that has something.
fn setup(state: &State) -> Option<String> {
    let has = |channel: &&String| offer::of_channel(state, channel).next().is_some();
    let default = Some(&state.default_channel).filter(has);
    let channel = default.or_else(|| state.channels.keys().find(has))?;
    Some(commands::virt_builder_setup(state, channel))
}
