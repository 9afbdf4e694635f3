//! `channels/CHANNEL/IMAGE/latest.json`: where the channel's revision is, at an address that stays.
//!
//! `latest.json` is for programs that trust the web server; `latest.sjson` is the same text,
//! clear-signed. Each is one file, so that no reader meets a new text with an old signature.

use serde_json::{Map, Value, json};

use super::offer::{self, Offer};
use super::{Change, ViewFile};
use crate::error::Result;
use crate::repository::state::{Image, State};

/// Renders the pointers of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let mut files = Vec::new();
    for image in change.images() {
        // One that has it no more may have had it until now.
        for channel in state.channels.keys() {
            let base = format!("channels/{channel}/{}/latest", image.name);
            let offers = offer::of_image(image, channel);
            if offers.is_empty() {
                let old = ["json", "sjson"].map(|end| format!("{base}.{end}"));
                let there = old
                    .into_iter()
                    .filter(|path| state.root.join(path).exists());
                files.extend(there.map(ViewFile::remove));
                continue;
            }
            let text = format!("{:#}\n", pointer(state, image, channel, &offers));
            files.push(ViewFile::new(format!("{base}.json"), text.clone()));
            files.push(ViewFile::new(format!("{base}.sjson"), text).clearsigned());
        }
    }
    Ok(files)
}

fn pointer(state: &State, image: &Image, channel: &str, offers: &[Offer<'_>]) -> Value {
    let architectures: Map<String, Value> = offers
        .iter()
        .map(|offer| (offer.arch.to_owned(), one(state, offer)))
        .collect();
    json!({
        "version": 1,
        "name": image.name,
        "channel": channel,
        "architectures": architectures,
    })
}

fn one(state: &State, offer: &Offer<'_>) -> Value {
    let revision = offer.revision;
    let url = |path: &str| format!("{}/{path}", state.url);
    let mut files = Map::new();
    for (name, file) in &revision.companions {
        let mut value = json!({
            "url": url(&file.path),
            "size": file.size,
            "sha256": file.sha256,
            "sha512": file.sha512,
        });
        if file.signed {
            value["signature"] = url(&format!("{}.asc", file.path)).into();
        }
        for (word, about) in &file.about {
            value[word] = about.clone().into();
        }
        files.insert(name.clone(), value);
    }
    json!({
        "revision": offer.number,
        "image-version": revision.image_version,
        "published": revision.created.when.to_string(),
        "title": revision.title,
        "url": url(&revision.file),
        "format": "raw.xz",
        "size": revision.size,
        "virtual-size": revision.virtual_size,
        "sha512": revision.sha512,
        "files": files,
    })
}
