//! What is signed and derived from the lists of revisions: pointers and streams. They say what the
//! lists say, or somebody has had something else signed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Audit;
use crate::error::{Error, Result};
use crate::gpg::verify;
use crate::repository::views::offer::word;
use crate::repository::views::revisions::{ListedRevision, RevisionList};
use crate::repository::views::streams::DISKS;
use crate::targets::Format;

/// A revision that a channel has, as the signed list of its image says.
#[derive(Debug)]
pub(super) struct Placed {
    channel: String,
    name: String,
    arch: String,
    number: u64,
    revision: ListedRevision,
}

impl Placed {
    /// Whether one of its files is this one.
    fn has(&self, path: &Value, sha512: &Value) -> bool {
        let mut files = self.revision.companions.values();
        files.any(|file| *path == *file.path && *sha512 == *file.sha512)
    }

    /// The paths of the disks that streams can offer.
    fn disks(&self) -> Vec<&str> {
        let files = self.revision.companions.values();
        let disks =
            files.filter(|file| file.is(Format::Qcow2) && DISKS.contains(&file.word(word::TARGET)));
        disks.map(|file| file.path.as_str()).collect()
    }
}

impl Audit {
    /// Reads a clear-signed text; none where there is none, or it is a fault.
    pub(super) fn signed<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(signed) = self.read_settled(path)? else {
            return Ok(None);
        };
        self.report.signatures += 1;
        self.signed.insert(path.to_owned());
        let read = verify(&signed, &self.keyring).and_then(|verified| parse(&verified.text));
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.blame(path, error).map(|()| None),
        }
    }

    /// Notes what the channels have of an image.
    pub(super) fn note_places(&mut self, name: &str, list: &RevisionList) {
        for (channel, current) in &list.channels {
            for (arch, number) in current {
                let revision = list.revisions.get(number);
                let offered = revision.filter(|one| one.yanked.is_none() && !one.removed);
                self.placed.extend(offered.map(|revision| Placed {
                    channel: channel.clone(),
                    name: name.to_owned(),
                    arch: arch.clone(),
                    number: *number,
                    revision: revision.clone(),
                }));
            }
        }
    }

    /// Compares each pointer and stream with what the lists say.
    pub(super) fn derived(&mut self, channels: &[(String, String)]) -> Result<()> {
        let placed = std::mem::take(&mut self.placed);
        let mut pointers: BTreeSet<(&str, &str)> = BTreeSet::new();
        pointers.extend(
            placed
                .iter()
                .map(|one| (one.channel.as_str(), one.name.as_str())),
        );
        for (channel, name) in pointers {
            let path = format!("channels/{channel}/{name}/latest.sjson");
            if let Some(pointer) = self.signed(&path, json)? {
                let here = placed
                    .iter()
                    .filter(|one| one.channel == channel && one.name == name);
                self.pointer(&path, &pointer, &here.collect::<Vec<_>>());
            }
        }
        for (channel, index) in channels {
            let dir = match index.as_str() {
                "index.asc" => String::new(),
                _ => format!("{channel}/"),
            };
            let path = format!("streams/v1/{dir}images.sjson");
            if let Some(stream) = self.signed(&path, json)? {
                let here = placed.iter().filter(|one| one.channel == *channel);
                self.stream(&path, &stream, &here.collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    fn pointer(&mut self, path: &str, pointer: &Value, placed: &[&Placed]) {
        let said = pointer["architectures"].as_object();
        let said = said.into_iter().flatten();
        for (arch, one) in said.clone() {
            let of_list = placed.iter().find(|placed| placed.arch == *arch);
            let same = of_list.is_some_and(|placed| {
                let mut files = one["files"].as_object().into_iter().flatten();
                one["revision"].as_u64() == Some(placed.number)
                    && one["sha512"] == *placed.revision.sha512
                    && files.all(|(name, file)| {
                        let listed = placed.revision.companions.get(name);
                        listed.is_some_and(|listed| file["sha512"] == *listed.sha512)
                    })
            });
            if !same {
                self.fault(
                    path,
                    format!("for {arch} it has something that the signed list does not have"),
                );
            }
        }
        if said.count() < placed.len() {
            self.fault(path, "it lacks what the signed list has");
        }
    }

    fn stream(&mut self, path: &str, stream: &Value, placed: &[&Placed]) {
        let products = stream["products"].as_object().into_iter().flatten();
        let versions =
            products.flat_map(|(_, one)| one["versions"].as_object().into_iter().flatten());
        let items = versions.flat_map(|(_, one)| one["items"].as_object().into_iter().flatten());
        let mut offered = Vec::new();
        for (_, item) in items {
            let (file, sha512) = (&item["path"], &item["sha512"]);
            if !placed.iter().any(|placed| placed.has(file, sha512)) {
                self.fault(path, format!("it offers {file}, and no signed list does"));
            }
            offered.push(file);
        }
        for one in placed {
            let disks = one.disks();
            if !disks.is_empty()
                && !disks
                    .iter()
                    .any(|disk| offered.iter().any(|file| *file == disk))
            {
                self.fault(path, format!("it lacks `{}` for {}", one.name, one.arch));
            }
        }
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|cause| Error::gate("it is not JSON").cause(cause))
}
