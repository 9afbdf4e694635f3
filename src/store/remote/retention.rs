//! Retention of the shared store: what is old goes, unless something that stays needs it.
//!
//! Only what imgforge has put there is looked at: tags that are a key, or the epoch of one, with a manifest
//! that says the same. A removal names the manifest by its digest, so what somebody puts under the tag
//! meanwhile stays. A registry removes manifests; its own garbage collection removes the blobs of none.

use std::collections::{BTreeMap, BTreeSet};

use super::epoch::{EPOCH_TAG, epoch_tag};
use super::wire::{ENTRY, EPOCH, INLINE_META, Manifest};
use super::{LIMITS, Meta};
use crate::address::OciAddress;
use crate::digest::{Key, Sha256};
use crate::error::Result;
use crate::host::interrupt;
use crate::registry::Registry;
use crate::units::Span;

/// What a shared store has, as far as its registry lists it.
#[derive(Debug)]
pub struct Inventory {
    registry: Registry,
    /// By tag.
    items: BTreeMap<String, Item>,
    foreign: BTreeSet<String>,
    /// The manifests of foreign tags: who removes one removes those tags, too.
    pinned: BTreeSet<Sha256>,
}

/// An entry, or the epoch of a stage that ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    tag: String,
    manifest: Sha256,
    /// For people.
    pub name: String,
    /// When its stage ended, in seconds since 1970.
    pub made: u64,
    /// Bytes of its blobs; another item may have some of them, too.
    pub bytes: u64,
    /// The tags without which it is of no use.
    needs: Vec<String>,
}

/// What stays.
#[derive(Debug)]
pub struct Retention {
    /// What was made in this time.
    pub age: Span,
    /// The present, in seconds since 1970.
    pub now: u64,
    /// What is still published was made by these stages.
    pub published: BTreeSet<Key>,
}

impl Inventory {
    /// Asks a registry for what it has at an address: one request a thousand tags, and one a tag.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or imgforge is interrupted.
    pub fn read(address: &OciAddress) -> Result<Self> {
        let mut inventory = Inventory {
            registry: Registry::open(address, LIMITS)?,
            items: BTreeMap::new(),
            foreign: BTreeSet::new(),
            pinned: BTreeSet::new(),
        };
        inventory.add_new()?;
        Ok(inventory)
    }

    /// Adds what was put there since; the tags of that.
    fn add_new(&mut self) -> Result<BTreeSet<String>> {
        let mut added = BTreeSet::new();
        for tag in self.registry.tags()? {
            if self.items.contains_key(&tag) || self.foreign.contains(&tag) {
                continue;
            }
            interrupt::check()?;
            let found = self.registry.manifest(&tag)?;
            let Some((key, what)) = subject(&tag) else {
                self.pinned
                    .extend(found.map(|manifest| Sha256::of(&manifest)));
                self.foreign.insert(tag);
                continue;
            };
            let Some(bytes) = found else {
                // Somebody else has removed it.
                continue;
            };
            match self.item(&tag, &key, what, &bytes)? {
                Some(item) => {
                    self.items.insert(tag.clone(), item);
                    added.insert(tag);
                }
                None => drop(self.foreign.insert(tag)),
            }
        }
        Ok(added)
    }

    /// Reads what lies under a tag; none where this version of imgforge has not put it there.
    fn item(&self, tag: &str, key: &Key, what: &str, bytes: &[u8]) -> Result<Option<Item>> {
        let Ok(manifest) = Manifest::read(bytes, what, key) else {
            return Ok(None);
        };
        let item = |name, made, needs| Item {
            tag: tag.to_owned(),
            manifest: Sha256::of(bytes),
            name,
            made,
            bytes: manifest.layers.iter().map(|layer| layer.size).sum(),
            needs,
        };
        if what == EPOCH {
            let told = manifest.told_epoch();
            return Ok(told.map(|at| item(format!("epoch of {}", key.short()), at, vec![])));
        }
        let text = match (manifest.config.data(), manifest.config.digest()) {
            (Ok(Some(text)), _) => Some(text),
            (Ok(None), Ok(digest)) => self.registry.read_blob(&digest, INLINE_META * 64)?,
            _ => None,
        };
        let meta = text.and_then(|text| serde_json::from_slice::<Meta>(&text).ok());
        let (Some(meta), Ok(made_of)) = (meta, manifest.made_of()) else {
            return Ok(None);
        };
        let below = made_of.map(|(layer, _)| layer.to_string());
        let parent = meta.parent.map(|parent| parent.to_string());
        let epoch = meta.inputs.without_epoch().map(|(of, _)| epoch_tag(&of));
        let needs = parent.into_iter().chain(below).chain(epoch).collect();
        let name = crate::ui::printable(&format!("{} {}", meta.image, meta.stage));
        Ok(Some(item(
            format!("{name} {}", key.short()),
            meta.created,
            needs,
        )))
    }

    /// The tags that imgforge has not put there, or another version of it has.
    pub fn foreign(&self) -> impl Iterator<Item = &str> {
        self.foreign.iter().map(String::as_str)
    }

    /// How many items there are.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// What may go, the latest first: what is made of others before these.
    pub fn candidates(&self, retention: &Retention) -> Vec<Item> {
        self.without_needed(retention, &BTreeSet::new())
    }

    /// As [`Inventory::candidates`], where the items `new` stay whenever they were made.
    fn without_needed(&self, retention: &Retention, new: &BTreeSet<String>) -> Vec<Item> {
        let since = retention.now.saturating_sub(retention.age.as_seconds());
        let published =
            |tag: &str| Key::parse(tag).is_some_and(|k| retention.published.contains(&k));
        let stays = |item: &&Item| {
            item.made >= since
                || published(&item.tag)
                || new.contains(&item.tag)
                || self.pinned.contains(&item.manifest)
        };
        let mut left: Vec<&Item> = self.items.values().filter(stays).collect();
        let mut kept: BTreeSet<&str> = left.iter().map(|item| item.tag.as_str()).collect();
        while let Some(item) = left.pop() {
            for needed in item.needs.iter().filter_map(|tag| self.items.get(tag)) {
                if kept.insert(&needed.tag) {
                    left.push(needed);
                }
            }
        }
        let gone = self
            .items
            .values()
            .filter(|item| !kept.contains(item.tag.as_str()));
        let mut gone: Vec<Item> = gone.cloned().collect();
        gone.sort_by(|a, b| b.made.cmp(&a.made).then_with(|| a.tag.cmp(&b.tag)));
        gone
    }

    /// Removes what may go, `each` of which is told, but nothing that was put there since the inventory
    /// was read, nor what that needs. One request an item, after the tags were listed again.
    ///
    /// # Errors
    /// When the registry cannot be reached, lets nobody remove anything, or imgforge is interrupted.
    pub fn remove(
        &mut self,
        retention: &Retention,
        mut each: impl FnMut(&Item) -> Result<()>,
    ) -> Result<()> {
        let seen = self.candidates(retention);
        let new = self.add_new()?;
        let still = self.without_needed(retention, &new);
        for item in seen.iter().filter(|item| still.contains(item)) {
            interrupt::check()?;
            self.registry.remove(&item.manifest)?;
            self.items.remove(&item.tag);
            each(item)?;
        }
        Ok(())
    }
}

/// Which key a tag is of, and what it is.
fn subject(tag: &str) -> Option<(Key, &'static str)> {
    match tag.strip_suffix(EPOCH_TAG) {
        Some(of) => Some((Key::parse(of)?, EPOCH)),
        None => Some((Key::parse(tag)?, ENTRY)),
    }
}
