//! `images/NAME/index.html`: where an image is, how to get it, and each of its revisions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Change;
use super::super::offer::{self, Offer, word};
use super::super::packages::{self, Changed};
use super::{When, chart, commands};
use crate::machine;
use crate::repository::state::{Image, Revision, State};
use crate::sbom::diff::Diff;
use crate::units::Size;

/// Revisions that are shown with all that is known; older ones have a line each.
const SHOWN: usize = 30;

/// Lines of a revision's changes.
const LINES: usize = 120;

pub(super) fn page(change: &Change<'_>, image: &Image) -> Value {
    let state = change.state;
    let changes = change.changes(image);
    let none = Changed::default();
    let of = |number: &u64| changes.revisions.get(number).unwrap_or(&none);
    let placed = image.placed();
    let mut newest = image.published().rev();
    let mut shown: Vec<(&u64, &Revision)> = newest.by_ref().take(SHOWN).collect();
    let (still, older): (Vec<_>, Vec<_>) = newest.partition(|(number, _)| placed.contains(number));
    shown.extend(still);
    let offers = offers(state, image);
    json!({
        "name": image.name,
        "title": image.published().next_back().map_or("", |(_, revision)| &revision.title),
        "places": places(change, image),
        "commands": offers.iter().map(|offer| json!({
            "arch": (offers.len() > 1).then_some(offer.arch),
            "all": commands::of(state, offer, change.fingerprint),
        })).collect::<Vec<_>>(),
        "commands_channel": offers.first().map(|offer| offer.channel),
        "revisions": shown.iter().map(|(number, one)| revision(image, **number, one, of(number))).collect::<Vec<_>>(),
        "charts": chart::of(image),
        "older": older.iter().map(|(number, revision)| line(**number, revision)).collect::<Vec<_>>(),
    })
}

/// What the channel has whose commands are shown, the default one or else the first that has the image;
/// the usual architecture first.
fn offers<'a>(state: &'a State, image: &'a Image) -> Vec<Offer<'a>> {
    let others = image.channels.keys().map(String::as_str);
    let mut channels = std::iter::once(state.default_channel.as_str()).chain(others);
    let has = |channel: &'a str| {
        let offers = offer::of_image(image, channel);
        (!offers.is_empty()).then_some(offers)
    };
    let mut offers = channels.find_map(has).unwrap_or_default();
    offers.sort_by_key(|offer| !machine::is_default(offer.arch));
    offers
}

fn places(change: &Change<'_>, image: &Image) -> Vec<Value> {
    let state = change.state;
    let mut places = Vec::new();
    for (channel, placement) in &image.channels {
        let frozen = state
            .channels
            .get(channel)
            .is_some_and(|channel| channel.frozen.is_some());
        let rules = change.rules.get(channel).cloned().unwrap_or_default();
        for (arch, number) in &placement.current {
            let Some(placed) = image.place(channel, arch) else {
                continue;
            };
            let moved = image.came(channel, arch, *number);
            let since = Timestamp::from_second(placed.since.cast_signed()).unwrap_or_default();
            places.push(json!({
                "channel": channel,
                "frozen": frozen,
                "arch": arch,
                "revision": number,
                "since": When::of(since),
                "action": moved.map(|moved| moved.action.to_string()),
                "why": moved.and_then(|moved| moved.stamp.why.clone()),
                "notes": rules.notes(&placed),
            }));
        }
    }
    places
}

fn revision(image: &Image, number: u64, revision: &Revision, changed: &Changed) -> Value {
    let yanked = revision.yanked.as_ref();
    let mut value = line(number, revision);
    let more = json!({
        "channels": channels(image, number),
        "yanked": yanked.map(|stamp| stamp.why.as_deref().unwrap_or("it was yanked")),
        "disk": Size::bytes(revision.virtual_size).human(),
        "same_as": revision.same_as,
        "commit": revision.created.commit,
        "sha512": revision.sha512,
        "packages": changed.packages,
        "since": changed.since,
        "diff": changed.diff.as_ref().map(lines),
        "closed": changed.closed,
        "checks": changed.checks,
        "files": if revision.offered() { files(revision) } else { vec![] },
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn line(number: u64, revision: &Revision) -> Value {
    json!({
        "number": number,
        "arch": revision.arch,
        "created": When::of(revision.created.when),
        "size": Size::bytes(revision.size).human(),
        "version": revision.image_version,
        "yanked": revision.yanked.is_some(),
        "gone": revision.retired.is_some() || revision.removed.is_some(),
        "path": revision.offered().then_some(&revision.file),
    })
}

fn channels(image: &Image, number: u64) -> Vec<String> {
    let has = |placement: &crate::repository::state::Placement| {
        placement.current.values().any(|current| *current == number)
    };
    let channels = image
        .channels
        .iter()
        .filter(|(_, placement)| has(placement));
    channels.map(|(channel, _)| channel.clone()).collect()
}

fn files(revision: &Revision) -> Vec<Value> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut files = vec![json!({
        "name": name(&revision.file),
        "path": revision.file,
        "size": Size::bytes(revision.size).human(),
        "what": "the disk",
    })];
    files.extend(revision.companions.iter().map(|(name, file)| {
        json!({
            "name": name,
            "path": file.path,
            "size": Size::bytes(file.size).human(),
            "what": what(name, file.word(word::TARGET), file.word(word::FORMAT)),
            "signed": file.signed,
        })
    }));
    files
}

fn what(name: &str, target: &str, format: &str) -> String {
    match name {
        name if name.ends_with(packages::SBOM) => "SBOM (CycloneDX)".into(),
        name if name.ends_with(".spdx.json") => "SBOM (SPDX 2.3)".into(),
        name if name.ends_with(".spdx3.json") => "SBOM (SPDX 3.0)".into(),
        name if name.ends_with(packages::CONFIG) => "configuration files".into(),
        name if name.ends_with(".packages") => "package list".into(),
        name if name.ends_with(".provenance.json") => "provenance (SLSA)".into(),
        _ if !target.is_empty() => format!("{format} for {target}"),
        _ => String::new(),
    }
}

fn lines(diff: &Diff) -> Value {
    let row = |name: &str, what: String| json!({"name": name, "what": what});
    let changed = diff.changed.iter().map(|one| {
        let older = if one.direction == "older" {
            " (older)"
        } else {
            ""
        };
        row(&one.name, format!("{} → {}{older}", one.old, one.new))
    });
    let added = diff
        .added
        .iter()
        .map(|one| row(&one.name, format!("{} added", one.version)));
    let removed = diff
        .removed
        .iter()
        .map(|one| row(&one.name, format!("{} removed", one.version)));
    let lines: Vec<Value> = changed.chain(added).chain(removed).take(LINES).collect();
    json!({
        "more": diff.packages().saturating_sub(lines.len()),
        "lines": lines,
        "files": diff.config.added.len() + diff.config.removed.len() + diff.config.changed.len(),
    })
}
