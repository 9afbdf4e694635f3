//! One publication, from the packed disk to the signed index.

use std::collections::BTreeSet;
use std::path::Path;

use super::bind::{Bound, Number};
use super::hooks::Happened;
use super::incoming::Incoming;
use super::manifest::{self, Manifest, Subject};
use super::publication::{Publication, Published};
use super::state::Image;
use super::transaction::Transaction;
use super::{Repository, below, files};
use crate::error::{DISK_FULL, Error, Result};
use crate::index;
use crate::ui::{Event, Ui};

/// What to do when the repository's disk is full.
const FULL: &str = "the disk is full: `imgforge repo prune` shows what may go";

impl Repository {
    /// Publishes an image, all its architectures or none: each blob under a revision of its own, then
    /// the signed index.
    ///
    /// # Errors
    /// When a gate's proof is about another disk, a packed disk is not what it is said to be,
    /// the channel is frozen, the bytes were yanked, or something cannot be written. Whatever
    /// happens, readers find a valid repository.
    pub fn publish(&self, parts: &[Publication<'_>], ui: &Ui) -> Result<Vec<Published>> {
        let published = self.publish_now(parts, ui).map_err(|error| {
            let to = self.root.display();
            let name = parts.first().map_or("", |part| part.name);
            error
                .within(format!("publishing `{name}` to {to} failed"))
                .better_hint(DISK_FULL, FULL)
        })?;
        for (published, part) in published.iter().zip(parts) {
            ui.event(&Event::Published {
                image: part.name.to_owned(),
                channel: part.channel.to_owned(),
                revision: published.revision,
                url: published.url.clone(),
            });
            if published.changed {
                let happened = Happened {
                    revision: Some(published.revision),
                    arch: Some(part.arch.to_owned()),
                    url: Some(published.url.clone()),
                    ..Happened::new("publish", part.name, part.channel)
                };
                self.run_hooks(&happened, &part.stamp, ui);
            }
        }
        Ok(published)
    }

    fn publish_now(&self, parts: &[Publication<'_>], ui: &Ui) -> Result<Vec<Published>> {
        parts.iter().try_for_each(Publication::check)?;
        let Some(first) = parts.first() else {
            return Ok(vec![]);
        };
        let stamp = || first.stamp.clone();
        let mut incoming: Vec<Option<Incoming>> = parts.iter().map(|_| None).collect();
        let (mut held, mut transaction);
        loop {
            held = self.lock()?;
            transaction = Transaction::begin(self, &held, stamp())?;
            transaction.allow_all(parts)?;
            let mut lacking = Vec::new();
            for (part, fresh) in parts.iter().zip(&mut incoming) {
                if fresh.is_none() && !transaction.has_blob(part) {
                    lacking.push((part, fresh.insert(Incoming::new(&self.root)?)));
                }
            }
            if lacking.is_empty() {
                break;
            }
            // Copying takes long; others may publish meanwhile, and prune what another part relies on.
            drop(transaction);
            drop(held);
            for (part, fresh) in lacking {
                self.bring_in(part, fresh)?;
            }
        }
        parts.iter().for_each(|part| transaction.remark(part, ui));
        let published = parts.iter().zip(&incoming);
        let published =
            published.map(|(part, incoming)| transaction.publish(part, incoming.as_ref()));
        let published = published.collect::<Result<Vec<_>>>()?;
        if transaction.is_changed() || transaction.renewal {
            transaction.commit()?;
        }
        Ok(published)
    }

    fn bring_in(&self, publication: &Publication<'_>, incoming: &mut Incoming) -> Result<()> {
        self.step("copy the blob");
        let expected = (publication.size.as_bytes(), publication.sha512);
        incoming.copy(&publication.file_name(), &publication.xz, expected)?;
        for companion in &publication.companions {
            self.step("copy a file");
            incoming.companion(companion)?;
        }
        incoming.sign(&self.signer)
    }
}

impl Transaction<'_> {
    /// Refuses what the channel must not get, before anything is copied or bound; tells the rules of the channel
    /// which number each part will have, and returns those.
    fn allow_all(&mut self, parts: &[Publication<'_>]) -> Result<Vec<Option<u64>>> {
        let mut last = 0;
        let numbers = parts.iter().map(|part| {
            let number = self.allow(part, last)?;
            last = number.unwrap_or(0).max(last);
            Ok(number)
        });
        numbers.collect()
    }

    /// As [`Transaction::allow_all`]; the parts before this one will have numbers up to `last`. None where nothing
    /// changes.
    fn allow(&mut self, publication: &Publication<'_>, last: u64) -> Result<Option<u64>> {
        self.refuse_frozen(publication.channel)?;
        self.refuse_clash(publication.name, publication.channel)?;
        let yanked = self.state.images.get(publication.name).and_then(|image| {
            let mut all = image.revisions.iter();
            all.find(|(_, revision)| {
                revision.yanked.is_some()
                    && revision.sha512 == publication.sha512
                    && revision.arch == publication.arch
            })
        });
        if let Some((number, revision)) = yanked {
            let yanked = revision.yanked.as_ref();
            let why = yanked.and_then(|stamp| stamp.why.as_deref());
            let name = publication.name;
            return Err(Error::gate(format!(
                "these bytes are those of {name}@{number}, which was yanked: {}",
                why.unwrap_or("no reason was given")
            ))
            .hint(format!("remove the cause, then `imgforge build {name}`")));
        }
        let (unchanged, highest) = self.has_now(publication)?;
        if unchanged.is_some() {
            return Ok(None);
        }
        let image = self.image(publication.name);
        let number = match image.next(publication, highest)?.number {
            // Some were bound to these bytes before.
            known if image.revisions.contains_key(&known) => known,
            new => new.max(last + 1),
        };
        self.admit(&publication.slot(number), publication.sha512)?;
        Ok(Some(number))
    }

    /// The revision that the channel has already when it has these bytes, and the highest number
    /// that its clients have seen: an index whose record was lost knows it, too.
    fn has_now(&mut self, publication: &Publication<'_>) -> Result<(Option<u64>, u64)> {
        let Publication {
            name,
            channel,
            arch,
            ..
        } = *publication;
        let (id, normal) = (
            self.state.entry_id(name, channel),
            index::normalize_arch(arch),
        );
        let mut entries = self.entries(channel)?.iter();
        let listed = entries
            .find(|entry| entry.id == id && index::normalize_arch(&entry.arch) == normal)
            .map_or(0, |entry| entry.revision);
        Ok(self.image(name).has_now(publication, listed))
    }

    /// Whether the repository has these bytes already.
    fn has_blob(&self, publication: &Publication<'_>) -> bool {
        let image = self.state.images.get(publication.name);
        let found = image.and_then(|i| i.with_bytes(publication.arch, publication.sha512));
        found.is_some_and(|(_, revision)| {
            let file = below::open(&self.repository.root, Path::new(&revision.file));
            let metadata = file.and_then(|file| file.metadata());
            revision.removed.is_none()
                && metadata.is_ok_and(|found| found.len() == publication.size.as_bytes())
        })
    }

    fn publish(
        &mut self,
        publication: &Publication<'_>,
        incoming: Option<&Incoming>,
    ) -> Result<Published> {
        let Publication { name, channel, .. } = *publication;
        let before = self.entries(channel)?.clone();
        let (unchanged, highest) = self.has_now(publication)?;
        self.image(name).keep = publication.keep;
        let mut share = None;
        let number = match unchanged {
            Some(number) => number,
            None => {
                let bound = self.image(name).next(publication, highest)?;
                share = self.admit(&publication.slot(bound.number), publication.sha512)?;
                self.bind(name, bound, publication.revision(incoming))?
            }
        };
        let mut there = BTreeSet::from([number]);
        if let Some(incoming) = incoming {
            there.extend(self.move_in(publication, incoming, number)?);
        }
        for number in there {
            self.write_manifest(name, number, |manifest| publication.describe(manifest))?;
        }
        let changed = self.image(name).take_words(number, publication);
        if unchanged.is_none() {
            self.place(&publication.slot(number), share)?;
        } else {
            self.sync_index(name, channel)?;
        }
        if changed || incoming.is_some() {
            self.tell_sharers(name, number)?;
        }
        let file = self.image(name).revisions[&number].file.clone();
        Ok(Published {
            revision: number,
            url: format!("{}/{file}", self.repository.url),
            entry: self.state.entry_id(name, channel),
            changed: self.all || !self.files.is_empty() || *self.entries(channel)? != before,
        })
    }

    /// Moves the files to where the revision has them; which other ones have theirs again by that.
    fn move_in(
        &mut self,
        publication: &Publication<'_>,
        incoming: &Incoming,
        number: u64,
    ) -> Result<Vec<u64>> {
        let image = self.image(publication.name);
        let Some(revision) = image.revisions.get(&number).cloned() else {
            return Err(Error::internal("a revision was bound and is not there"));
        };
        // The files are there again, for all that share them; those beside the blob are new.
        let dir = revision.file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let mut companions = incoming.companions();
        for (name, beside) in &mut companions {
            beside.path = format!("{dir}/{name}");
        }
        let mut back = Vec::new();
        for (number, other) in &mut image.revisions {
            if other.same_bytes(&revision) {
                back.extend(other.removed.filter(|_| !other.pending).map(|_| *number));
                (other.removed, other.retired) = (None, None);
                other.companions.clone_from(&companions);
            }
        }
        let root = &self.repository.root;
        below::create_dir(root, dir)?;
        let own = publication.file_name();
        for name in incoming.names().filter(|name| **name != own) {
            self.repository.step("move a file in");
            files::rename(root, &incoming.inside(name), &format!("{dir}/{name}"))?;
        }
        self.repository.step("move the blob in");
        files::rename(root, &incoming.inside(&own), &revision.file)?;
        Ok(back)
    }

    /// The manifest of a revision, with how it was made from `made`; it is written once.
    pub(super) fn write_manifest(
        &mut self,
        name: &str,
        number: u64,
        made: impl FnOnce(Manifest) -> Result<Manifest>,
    ) -> Result<()> {
        let image = self.state.images.get(name);
        let revision = image.and_then(|image| image.revisions.get(&number));
        let revision = revision
            .ok_or_else(|| Error::internal(format!("`{name}` has no revision {number}")))?;
        let manifest = made(Manifest::new(name, number, revision, &self.stamp))?;
        let (root, path) = (&self.repository.root, manifest::path(name, number));
        // One that a killed publisher left may tell of a blob by another name.
        if let Some(old) = below::read(root, &path)?
            && let Ok(old) = serde_json::from_slice::<Subject>(&old)
            && old.is(number, &revision.file, &revision.sha512)
        {
            return Ok(());
        }
        below::create_dir(root, &manifest::revision_dir(name, number))?;
        self.repository.step("write the manifest");
        files::write_json(root, &path, &manifest)
    }

    /// Two images must not meet under one name, such as `a-b` and `a` in the channel `b`.
    pub(super) fn refuse_clash(&self, name: &str, channel: &str) -> Result<()> {
        let channels = || {
            self.state
                .channels
                .keys()
                .map(String::as_str)
                .chain([channel])
        };
        let ids = |name: &str| -> Vec<String> {
            let own = channels().map(|channel| self.state.entry_id(name, channel));
            let canaries = channels().map(|channel| super::listing::canary_id(name, channel));
            own.chain(canaries).collect()
        };
        let ours = ids(name);
        // Only a name that begins as ours, or as which ours begins, can clash.
        let near = |other: &str| other.starts_with(name) || name.starts_with(other);
        let others = self.state.images.keys().map(String::as_str);
        for other in others.filter(|other| *other != name && near(other)) {
            if let Some(id) = ids(other).iter().find(|id| ours.contains(id)) {
                return Err(Error::usage(format!(
                    "the name `{id}` of this publication belongs to `{other}`"
                ))
                .hint("give the image or the channel another name"));
            }
        }
        Ok(())
    }
}

impl Image {
    /// As [`Transaction::has_now`]; the index has the number `listed`.
    fn has_now(&self, publication: &Publication<'_>, listed: u64) -> (Option<u64>, u64) {
        let Some(placement) = self.channels.get(publication.channel) else {
            return (None, listed);
        };
        let current = placement.current.get(publication.arch).copied();
        let canary = self.canary(publication.channel, publication.arch);
        let same = |number: &u64| {
            self.revisions
                .get(number)
                .is_some_and(|revision| revision.sha512 == publication.sha512)
        };
        // Whoever tried another revision must find a higher one, even with old bytes.
        let unchanged = canary.or(current).filter(same);
        let highest = current.into_iter().chain(canary).max().unwrap_or(0);
        (unchanged, highest.max(listed))
    }

    /// The number that it gets above `highest`.
    fn next(&self, publication: &Publication<'_>, highest: u64) -> Result<Bound> {
        let Publication { arch, sha512, .. } = *publication;
        self.choose(highest, arch, sha512, Number::Reuse)
    }

    /// What people read about a revision may change; its bytes do not. Whether it does.
    fn take_words(&mut self, number: u64, publication: &Publication<'_>) -> bool {
        self.revisions.get_mut(&number).is_some_and(|revision| {
            let before = revision.clone();
            revision.title = publication.title.trim().to_owned();
            revision.osinfo = publication.osinfo.map(str::to_owned);
            revision.expand = publication.expand.map(str::to_owned);
            revision.notes = publication.notes.map(str::to_owned);
            revision.image_version = publication.version.to_owned();
            *revision != before
        })
    }
}

#[cfg(test)]
mod tests;
