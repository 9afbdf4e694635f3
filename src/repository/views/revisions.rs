//! `images/NAME/revisions.sjson`: what each revision of a name is, signed, so that a client can
//! trust one that no index lists any more.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Change, ViewFile};
use crate::error::Result;
use crate::repository::state::{Image, Revision};

/// Renders the file of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let images = change
        .names()
        .filter_map(|name| change.state.images.get(name));
    let file = |image: &Image| {
        let path = format!("images/{}/revisions.sjson", image.name);
        let text = describe(image, change.valid_until);
        ViewFile::new(path, format!("{text:#}\n")).clearsigned()
    };
    Ok(images.map(file).collect())
}

fn describe(image: &Image, valid_until: Timestamp) -> Value {
    let revisions: Map<String, Value> = image
        .revisions
        .iter()
        .filter(|(_, revision)| !revision.pending)
        .map(|(number, revision)| (number.to_string(), one(revision)))
        .collect();
    let channels: Map<String, Value> = image
        .channels
        .iter()
        .map(|(channel, placement)| (channel.clone(), json!(placement.current)))
        .collect();
    json!({
        "version": 1,
        "name": image.name,
        "valid-until": format!("{valid_until:.0}"),
        "revisions": revisions,
        "channels": channels,
    })
}

fn one(revision: &Revision) -> Value {
    let mut value = json!({
        "arch": revision.arch,
        "file": revision.file,
        "size": revision.size,
        "sha512": revision.sha512,
        "format": "raw",
        "virtual-size": revision.virtual_size,
        "image-version": revision.image_version,
        "created": revision.created.when.to_string(),
        "companions": revision.companions,
    });
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
