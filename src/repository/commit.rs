//! One publication, from the packed disk to the signed index.

use serde_json::{Map, Value, json};

use super::incoming::Incoming;
use super::publication::{Publication, Published};
use super::revisions::Revisions;
use super::{Held, Repository, broken_index, files, journal, verify};
use crate::error::{Error, Result};
use crate::index::{self, Entry, is_id};
use crate::ui::{Event, Ui};

impl Repository {
    /// Publishes an image: its blob under a revision of its own, then the signed index.
    ///
    /// # Errors
    /// When the gate's proof is about another disk, the packed disk is not what it is said to be,
    /// or something cannot be written. Whatever happens, readers find a valid repository.
    pub fn publish(&self, publication: &Publication<'_>, ui: &Ui) -> Result<Published> {
        let published = self.transact(publication).map_err(|error| {
            let to = self.root.display();
            error.within(format!("publishing `{}` to {to} failed", publication.name))
        })?;
        ui.event(&Event::Published {
            image: publication.name.to_owned(),
            channel: publication.channel.to_owned(),
            revision: published.revision,
            url: published.url.clone(),
        });
        Ok(published)
    }

    fn transact(&self, publication: &Publication<'_>) -> Result<Published> {
        publication.check()?;
        let mut held = self.lock()?;
        self.refuse_clash(publication)?;
        let mut incoming = None;
        if !self.has_blob(publication)? {
            let fresh = Incoming::new(&self.private("incoming"))?;
            // Copying takes long; others may publish meanwhile.
            drop(held);
            self.step("copy the blob");
            let expected = (publication.size.as_bytes(), publication.sha512);
            fresh.copy(&publication.file_name(), &publication.xz, Some(expected))?;
            for (name, from) in &publication.extra {
                fresh.copy(name, from, None)?;
            }
            held = self.lock()?;
            incoming = Some(fresh);
        }
        self.commit(publication, incoming.as_ref(), &held)
    }

    /// Two images must not meet under one name, such as `a-b` and `a` in the channel `b`.
    fn refuse_clash(&self, publication: &Publication<'_>) -> Result<()> {
        let id = self.entry_id(publication.name, publication.channel);
        let channels = std::fs::read_dir(self.root.join("channels"))
            .into_iter()
            .flatten()
            .flatten();
        let suffixes = channels.map(|dir| format!("-{}", dir.file_name().to_string_lossy()));
        let clash = std::iter::once(String::new())
            .chain(suffixes)
            .filter_map(|suffix| id.strip_suffix(&suffix).map(str::to_owned))
            .find(|name| name != publication.name && Revisions::exist(&self.private(""), name));
        match clash {
            Some(other) => Err(Error::usage(format!(
                "the name `{id}` of this publication belongs to `{other}`"
            ))
            .hint("give the image or the channel another name")),
            None => Ok(()),
        }
    }

    /// Whether the repository has these bytes already.
    fn has_blob(&self, publication: &Publication<'_>) -> Result<bool> {
        let revisions = Revisions::read(&self.private(""), publication.name)?;
        let Some(bound) = revisions.blob(publication.arch, publication.sha512) else {
            return Ok(false);
        };
        let metadata = std::fs::metadata(self.root.join(&bound.file));
        Ok(metadata.is_ok_and(|found| found.len() == publication.size.as_bytes()))
    }

    fn commit(
        &self,
        publication: &Publication<'_>,
        incoming: Option<&Incoming>,
        _held: &Held,
    ) -> Result<Published> {
        let id = self.entry_id(publication.name, publication.channel);
        let mut entries = self.entries(publication.channel)?;
        let arch = index::normalize_arch(publication.arch);
        let position = entries
            .iter()
            .position(|entry| entry.id == id && index::normalize_arch(&entry.arch) == arch);
        let old = position.map(|position| entries[position].clone());

        let (revision, file) = self.bind(publication, old.as_ref())?;
        if let Some(incoming) = incoming {
            self.move_in(publication, incoming, &file)?;
        }
        self.write_manifest(publication, revision, &file)?;

        let up = if publication.channel == self.default_channel {
            ""
        } else {
            "../../"
        };
        let entry = publication.entry(id.clone(), revision, format!("{up}{file}"), old.as_ref());
        let changed = old.as_ref() != Some(&entry);
        if changed {
            match position {
                Some(position) => entries[position] = entry,
                None => entries.push(entry),
            }
            entries.sort_by(|a, b| (&a.id, &a.arch).cmp(&(&b.id, &b.arch)));
            let path = self.index_path(publication.channel);
            let signed = self.signed(&path, &entries)?;
            journal::replace(&self.root, &[(path, signed)], &self.steps)?;
        }
        Ok(Published {
            revision,
            url: format!("{}/{file}", self.url),
            entry: id,
            changed,
        })
    }

    /// The revision of these bytes and the path of their blob, written down before anything else.
    fn bind(&self, publication: &Publication<'_>, old: Option<&Entry>) -> Result<(u64, String)> {
        let private = self.private("");
        let mut revisions = Revisions::read(&private, publication.name)?;
        if let Some(old) = old.filter(|old| old.sha512.as_deref() == Some(publication.sha512))
            && let Some(bound) = revisions.blob(publication.arch, publication.sha512)
        {
            return Ok((old.revision, bound.file.clone()));
        }
        let current = old.map_or(0, |old| old.revision);
        let (arch, sha512) = (publication.arch, publication.sha512);
        let choice = revisions.choose(current, arch, sha512, |revision| {
            format!(
                "images/{}/{revision}/{}",
                publication.name,
                publication.file_name()
            )
        })?;
        if choice.new {
            self.step("bind the revision");
            revisions.write(&private, publication.name)?;
        }
        Ok((choice.revision, choice.file))
    }

    fn move_in(
        &self,
        publication: &Publication<'_>,
        incoming: &Incoming,
        file: &str,
    ) -> Result<()> {
        let blob = self.root.join(file);
        let dir = blob.parent().unwrap_or(&self.root);
        files::create_dir(dir)?;
        for (name, _) in &publication.extra {
            self.step("move a file in");
            files::rename(&incoming.path(name), &dir.join(name))?;
        }
        self.step("move the blob in");
        files::rename(&incoming.path(&publication.file_name()), &blob)
    }

    /// The manifest of a revision is written once.
    fn write_manifest(
        &self,
        publication: &Publication<'_>,
        revision: u64,
        file: &str,
    ) -> Result<()> {
        let dir = self
            .root
            .join(format!("images/{}/{revision}", publication.name));
        let path = dir.join("manifest.json");
        if path.exists() {
            return Ok(());
        }
        files::create_dir(&dir)?;
        self.step("write the manifest");
        files::write_json(&path, &manifest(publication, revision, file))
    }

    /// The index as clients will read it, signed, and verified as they do.
    fn signed(&self, path: &str, entries: &[Entry]) -> Result<Vec<u8>> {
        let path = self.root.join(path);
        let text = index::write(entries).map_err(|problems| broken_index(&path, &problems))?;
        let signed = self.signer.clearsign(&text)?;
        let verified = verify(signed.as_bytes(), &self.keyring()).map_err(|error| {
            error.within("the new index does not verify with the repository's public key")
        })?;
        let read = |text: &str| index::parse(text).and_then(|sections| index::check(&sections));
        // virt-builder parses the file itself, others what the signature covers.
        for text in [&signed, &verified.text] {
            let back = read(text).map_err(|problems| broken_index(&path, &problems))?;
            if back != entries {
                return Err(Error::internal(
                    "the signed index does not say what was written",
                ));
            }
        }
        Ok(signed.into_bytes())
    }
}

fn manifest(publication: &Publication<'_>, revision: u64, file: &str) -> Value {
    let own = json!({
        "version": 1,
        "name": publication.name,
        "revision": revision,
        "image-version": publication.version,
        "arch": publication.arch,
        "title": publication.title,
        "file": file,
        "size": publication.size.as_bytes(),
        "sha512": publication.sha512,
        "format": "raw",
        "virtual-size": publication.virtual_size.as_bytes(),
        "sealed": publication.sealed,
        "gate": publication.gate.results(),
        "published": jiff::Timestamp::now().to_string(),
    });
    let mut all: Map<String, Value> = publication.manifest.clone();
    if let Value::Object(own) = own {
        all.extend(own);
    }
    Value::Object(all)
}

impl Publication<'_> {
    /// The blob's name in the revision's directory.
    fn file_name(&self) -> String {
        format!("{}-{}.xz", self.name, self.version)
    }

    fn check(&self) -> Result<()> {
        for (what, value) in [
            ("image", self.name),
            ("channel", self.channel),
            ("version", self.version),
        ] {
            if !is_id(value) || value.starts_with('.') {
                return Err(
                    Error::usage(format!("`{value}` cannot be the name of a {what}"))
                        .hint("use letters, digits, `-`, `_` and `.`"),
                );
            }
        }
        for (name, _) in &self.extra {
            if !is_id(name) || name.starts_with('.') || name == "manifest.json" {
                let message = format!("`{name}` cannot be a file beside the blob");
                return Err(Error::internal(message));
            }
        }
        if self.gate.sealed() != self.sealed {
            return Err(Error::gate("the gate has passed for another disk")
                .cause(format!("it tested {}", self.gate.sealed()))
                .cause(format!("this is {}", self.sealed))
                .hint("`imgforge build NAME --from check` tests this one"));
        }
        Ok(())
    }

    /// The index entry; what others wrote into the old one stays.
    fn entry(&self, id: String, revision: u64, file: String, old: Option<&Entry>) -> Entry {
        let lines = |text: &str| {
            text.trim_end()
                .lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let version = ("imgforge_version".to_owned(), self.version.to_owned());
        let others = old.into_iter().flat_map(|old| old.other.clone());
        Entry {
            id,
            name: Some(self.title.trim().to_owned()),
            osinfo: self.osinfo.map(str::to_owned),
            arch: self.arch.to_owned(),
            file,
            sig: None,
            sha512: Some(self.sha512.to_owned()),
            revision,
            format: Some("raw".into()),
            size: self.virtual_size.as_bytes(),
            compressed_size: Some(self.size.as_bytes()),
            expand: self.expand.map(str::to_owned),
            lvexpand: None,
            notes: self
                .notes
                .map(|notes| (None, lines(notes)))
                .into_iter()
                .collect(),
            aliases: old.map(|old| old.aliases.clone()).unwrap_or_default(),
            hidden: old.is_some_and(|old| old.hidden),
            other: others
                .filter(|(key, _)| *key != version.0)
                .chain([version.clone()])
                .collect(),
        }
    }
}
