//! Simplestreams, for Incus, LXD and Glance: what a channel has as qcow2.
//!
//! ```text
//! streams/v1/index.json, images.json         the default channel; .sjson: the same, clear-signed
//! channels/NAME/streams/v1/…                 another channel, for Incus and LXD, whose URL is
//!                                            REPO/channels/NAME
//! streams/v1/NAME/index.sjson, images.sjson  the same with paths below REPO, for Glance's
//!                                            mirror, which refuses paths that go up
//! ```
//!
//! The disk is `disk1.img` for everybody. Incus and LXD need a metadata file beside it, too; an
//! image without one is for Glance alone.

use serde_json::{Map, Value, json};

use super::offer::{self, Offer, word};
use super::{Change, ViewFile};
use crate::error::Result;
use crate::machine::debian_name;
use crate::repository::state::{CompanionRecord, State};
use crate::targets::Format;

/// Whose qcow2 goes into the streams, if there are several: first the one that metadata is about.
pub(in crate::repository) const DISKS: &[&str] = &["incus", "disk", "openstack"];

/// One pair of an index and a list of products.
struct Tree {
    dir: String,
    /// From the tree's URL to the repository's root.
    up: &'static str,
    plain: bool,
    signed: bool,
}

/// Renders the streams of each channel that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let mut files = Vec::new();
    for channel in change.channels() {
        let offers: Vec<Offer<'_>> = offer::of_channel(state, channel)
            .filter(|offer| offer.artifact(Format::Qcow2, DISKS).is_some())
            .collect();
        for tree in trees(state, channel) {
            let there = |end: &str| {
                state
                    .root
                    .join(format!("{}/index.{end}", tree.dir))
                    .exists()
            };
            // What was there stays readable, as an empty list.
            if offers.is_empty() && !there("json") && !there("sjson") {
                continue;
            }
            files.extend(tree.files(channel, &offers));
        }
    }
    Ok(files)
}

fn trees(state: &State, channel: &str) -> Vec<Tree> {
    let root = "streams/v1".to_owned();
    if channel == state.default_channel {
        return vec![Tree {
            dir: root,
            up: "",
            plain: true,
            signed: true,
        }];
    }
    let own = format!("channels/{channel}/streams/v1");
    vec![
        Tree {
            dir: own,
            up: "../../",
            plain: true,
            signed: false,
        },
        Tree {
            dir: format!("{root}/{channel}"),
            up: "",
            plain: false,
            signed: true,
        },
    ]
}

impl Tree {
    fn files(&self, channel: &str, offers: &[Offer<'_>]) -> Vec<ViewFile> {
        let mut files = Vec::new();
        // The products before the index that names them.
        for (wanted, end) in [(self.plain, "json"), (self.signed, "sjson")] {
            if !wanted {
                continue;
            }
            // Paths are relative to the tree's URL, which is two levels above `streams/v1`.
            let dir = match self.up {
                "" => self.dir.as_str(),
                _ => "streams/v1",
            };
            let images = format!("{}\n", products(channel, offers, self.up));
            let index = format!(
                "{:#}\n",
                index(channel, offers, &format!("{dir}/images.{end}"))
            );
            for (name, text) in [("images", images), ("index", index)] {
                let file = ViewFile::new(format!("{}/{name}.{end}", self.dir), text);
                files.push(if end == "sjson" {
                    file.clearsigned()
                } else {
                    file
                });
            }
        }
        files
    }
}

fn content_id(channel: &str) -> String {
    format!("imgforge:{channel}:images")
}

fn index(channel: &str, offers: &[Offer<'_>], path: &str) -> Value {
    let mut names: Vec<String> = offers.iter().map(product_name).collect();
    names.sort();
    json!({
        "format": "index:1.0",
        "index": {"images": {
            "datatype": "image-downloads",
            "path": path,
            "format": "products:1.0",
            "content_id": content_id(channel),
            "products": names,
        }},
    })
}

fn products(channel: &str, offers: &[Offer<'_>], up: &str) -> Value {
    let products: Map<String, Value> = offers
        .iter()
        .filter_map(|offer| Some((product_name(offer), product(offer, up)?)))
        .collect();
    json!({
        "format": "products:1.0",
        "datatype": "image-downloads",
        "content_id": content_id(channel),
        "products": products,
    })
}

/// `os:release:variant:arch`; the image's name is the variant, so that it is unique.
fn product_name(offer: &Offer<'_>) -> String {
    let (os, version) = offer.system();
    format!(
        "{os}:{version}:{}:{}",
        offer.image.name,
        debian_name(offer.arch)
    )
}

fn product(offer: &Offer<'_>, up: &str) -> Option<Value> {
    let disk = offer.artifact(Format::Qcow2, DISKS)?;
    let (os, release) = offer.system();
    let name = &offer.image.name;
    let arch = debian_name(offer.arch);
    let item = |ftype: &str, file: &CompanionRecord| {
        json!({
            "ftype": ftype,
            "path": format!("{up}{}", file.path),
            "size": file.size,
            "sha256": file.sha256,
            "sha512": file.sha512,
        })
    };
    let mut items = Map::new();
    items.insert("disk1.img".into(), item("disk1.img", disk));
    if let Some(metadata) = offer.artifact(Format::IncusMetadata, &["incus"]) {
        for ftype in ["incus.tar.xz", "lxd.tar.xz"] {
            let mut item = item(ftype, metadata);
            item["combined_disk1-img_sha256"] = metadata.word(word::COMBINED).into();
            items.insert(ftype.into(), item);
        }
    }
    // Greater as text when the revision is greater on the same day; Incus reads the day.
    let version = format!("{}_{:06}", offer.day(), offer.number);
    let pubname = format!("{name}-{version}-{arch}");
    Some(json!({
        "aliases": format!("{name},{name}/{arch}"),
        "arch": arch,
        "os": os,
        "release": release,
        "release_title": offer.revision.title,
        "version": release,
        "variant": name,
        "versions": {version: {"pubname": pubname, "label": "release", "items": items}},
    }))
}
