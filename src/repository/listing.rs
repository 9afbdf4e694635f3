//! The entries of an index.

use super::state::Revision;
use super::transaction::Transaction;
use super::{Repository, below};
use crate::error::Result;
use crate::index::{IndexEntry, PLACEHOLDER};

/// The name of a canary's entry.
pub(super) fn canary_id(name: &str, channel: &str) -> String {
    format!("{name}-{channel}-canary")
}

/// The entry of a revision; what others wrote to the old one stays.
pub(super) fn entry(
    id: &str,
    number: u64,
    revision: &Revision,
    up: &str,
    old: Option<&IndexEntry>,
    more: Vec<(String, String)>,
) -> IndexEntry {
    // A signature does not cover blanks at the end of a line.
    let lines = |text: &str| {
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    };
    let mut ours = vec![(
        "imgforge_version".to_owned(),
        revision.image_version.clone(),
    )];
    ours.extend(more);
    let is_ours = |key: &str| key == "imgforge_version" || key.starts_with("imgforge_canary");
    let others = old.into_iter().flat_map(|old| old.other.clone());
    IndexEntry {
        id: id.to_owned(),
        name: Some(revision.title.clone()),
        osinfo: revision.osinfo.clone(),
        arch: revision.arch.clone(),
        file: format!("{up}{}", revision.file),
        sig: None,
        sha512: Some(revision.sha512.clone()),
        revision: number,
        format: Some("raw".into()),
        size: revision.virtual_size,
        compressed_size: Some(revision.size),
        expand: revision.expand.clone(),
        lvexpand: None,
        notes: revision
            .notes
            .as_deref()
            .map(|notes| (None, lines(notes)))
            .into_iter()
            .collect(),
        aliases: old.map(|old| old.aliases.clone()).unwrap_or_default(),
        hidden: old.is_some_and(|old| old.hidden),
        other: others
            .filter(|(key, _)| !is_ours(key))
            .chain(ours)
            .collect(),
    }
}

impl Repository {
    /// What an index without images says.
    pub(super) fn placeholder(&self, up: &str) -> Result<IndexEntry> {
        let size = below::read_present(&self.root, "imgforge.gpg")?.len() as u64;
        Ok(IndexEntry {
            id: PLACEHOLDER.into(),
            name: Some("There is no image here at present".into()),
            arch: "none".into(),
            file: format!("{up}imgforge.gpg"),
            revision: 1,
            format: Some("raw".into()),
            size,
            hidden: true,
            ..IndexEntry::default()
        })
    }
}

impl Transaction<'_> {
    /// Channels that have the same bytes say the same of them; a frozen one in all but its index.
    pub(super) fn tell_sharers(&mut self, name: &str, number: u64) -> Result<()> {
        let image = self.image(name);
        let one = image.revisions.get(&number);
        let same = |number: u64| {
            let other = image.revisions.get(&number);
            one.zip(other)
                .is_some_and(|(one, other)| one.same_bytes(other))
        };
        let places = image.channels.iter();
        let places = places.filter(|(_, placement)| placement.revisions().any(same));
        for channel in places
            .map(|(channel, _)| channel.clone())
            .collect::<Vec<_>>()
        {
            if self.channel(&channel).frozen.is_none() {
                self.sync_index(name, &channel)?;
            }
        }
        Ok(())
    }
}
