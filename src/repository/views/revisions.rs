//! `images/NAME/revisions.sjson`: what each revision of a name is, signed, so that a client can
//! trust one that no index lists any more.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Change, ViewFile};
use crate::error::Result;
use crate::repository::state::{ChannelEvent, Image, Revision};

/// Renders the file of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let file = |image: &Image| {
        let text = describe(&change.state.id, image, change.valid_until, change.serial);
        ViewFile::new(path(&image.name), format!("{text:#}\n")).clearsigned()
    };
    Ok(change.images().map(file).collect())
}

/// Where the list of an image is, below the root.
pub(in crate::repository) fn path(name: &str) -> String {
    format!("images/{name}/revisions.sjson")
}

/// Whether the record of an image says what a verified list says, but for what was only bound.
///
/// A list by an imgforge that did not sign all of this yet says nothing about the rest.
pub(in crate::repository) fn agrees(id: &str, image: &Image, list: &Value) -> bool {
    let ours = describe(id, image, Timestamp::UNIX_EPOCH, 0);
    let all = |ours: &Value, signed: &Value, keys: &[&str]| {
        keys.iter().all(|key| ours[key] == signed[key])
    };
    let same = |ours: &Value, signed: &Value, keys: &[&str], late: &[&str]| {
        all(ours, signed, keys) && (signed.get(late[0]).is_none() || all(ours, signed, late))
    };
    let whole = list.get("repository").is_some();
    let numbers = |list: &Value| -> Vec<String> {
        let all = list["revisions"].as_object().into_iter().flatten();
        all.map(|(number, _)| number.clone()).collect()
    };
    image.is_borne_out()
        && same(&ours, list, &["name", "channels"], &["canaries"])
        && same(&ours, list, &[], &["history"])
        && (!whole || all(&ours, list, &["repository", "keep"]))
        && numbers(&ours) == numbers(list)
        && numbers(&ours).iter().all(|number| {
            let [ours, signed] = [&ours, list].map(|list| &list["revisions"][number]);
            same(ours, signed, BYTES, WORDS) && (!whole || all(ours, signed, FATE))
        })
}

impl Image {
    /// Whether all that happened is about revisions that were published, each for its architecture.
    fn is_borne_out(&self) -> bool {
        let published = |number: &u64, arch: &str| {
            let revision = self.revisions.get(number);
            revision.is_some_and(|revision| !revision.pending && revision.arch == arch)
        };
        let mut moved = self.history.iter();
        moved.all(|moved| {
            moved
                .revision
                .is_none_or(|number| published(&number, &moved.arch))
        })
    }
}

/// What a list says of a revision.
const BYTES: &[&str] = &[
    "arch",
    "file",
    "size",
    "sha512",
    "virtual-size",
    "image-version",
    "created",
    "companions",
    "yanked",
    "same-as",
    "removed",
];

/// What it says since imgforge's indexes are made from it.
const WORDS: &[&str] = &["title", "osinfo", "expand", "notes"];

/// What it says since a list names its repository: what else decides whether it goes.
const FATE: &[&str] = &["built-on", "retired", "gone"];

fn describe(id: &str, image: &Image, valid_until: Timestamp, serial: u64) -> Value {
    let revisions: Map<String, Value> = image
        .published()
        .map(|(number, revision)| (number.to_string(), one(revision)))
        .collect();
    let channels: Map<String, Value> = image
        .channels
        .iter()
        .map(|(channel, placement)| (channel.clone(), json!(placement.current)))
        .collect();
    let placements = image
        .channels
        .iter()
        .filter(|(_, placement)| !placement.canary.is_empty());
    let canaries: Map<String, Value> = placements
        .map(|(channel, placement)| (channel.clone(), json!(placement.canary)))
        .collect();
    let history: Vec<Value> = image.history.iter().map(happened).collect();
    json!({
        "version": 1,
        "name": image.name,
        "repository": id,
        "state": serial,
        "keep": image.keep,
        "valid-until": format!("{valid_until:.0}"),
        "revisions": revisions,
        "channels": channels,
        "canaries": canaries,
        "history": history,
    })
}

/// What happened; who did it, and why, is nobody else's business.
fn happened(moved: &ChannelEvent) -> Value {
    json!({
        "channel": moved.channel,
        "arch": moved.arch,
        "action": moved.action,
        "revision": moved.revision,
        "replaced": moved.replaced,
        "when": moved.stamp.when.to_string(),
    })
}

fn one(revision: &Revision) -> Value {
    let mut value = json!({
        "title": revision.title,
        "arch": revision.arch,
        "file": revision.file,
        "size": revision.size,
        "sha512": revision.sha512,
        "format": "raw",
        "virtual-size": revision.virtual_size,
        "image-version": revision.image_version,
        "created": revision.created.when.to_string(),
        "companions": revision.companions,
        "built-on": revision.built_on,
        "retired": revision.retired.map(|when| when.to_string()),
        "gone": revision.removed.map(|when| when.to_string()),
    });
    for (key, word) in [
        ("osinfo", &revision.osinfo),
        ("expand", &revision.expand),
        ("notes", &revision.notes),
    ] {
        if let Some(word) = word {
            value[key] = json!(word);
        }
    }
    if let Some(yanked) = &revision.yanked {
        value["yanked"] = json!(yanked.why.as_deref().unwrap_or_default());
    }
    if let Some(same) = revision.same_as {
        value["same-as"] = json!(same);
    }
    if revision.removed.is_some() || revision.retired.is_some() {
        value["removed"] = json!(true);
    }
    value
}
