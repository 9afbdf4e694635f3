//! A copy of a repository in a registry, for `imgforge pull oci://HOST/NAME[:CHANNEL]`. Each image is a
//! repository there:
//!
//! ```text
//! NAME:REVISION   what a revision is, for ever: the disk, its block map, SBOM, lists, provenance
//! NAME:CHANNEL    what a channel has, with all that is signed: index.asc, revisions.sjson, imgforge.gpg
//! NAME:latest     the same of the default channel
//! ```
//!
//! The index of a channel has the role `index`, wherever it lies. SBOM, provenance with its signature, and the targets' artifacts refer to their revision, too, as other programs
//! look for them. Every file has its path below the repository as its title. Nothing is signed anew: readers
//! verify what the repository's key has signed. Blobs go first, then revisions, then the tags of channels, each at
//! once, so whoever reads finds what was there before, or all of what is new.

mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::fresh::{Age, refuse_gone, refuse_old};
use super::identity::Identity;
use super::mirror::{Copied, CopySource, FileToCopy, wanted};
use super::replica::{KEY_FILE, Replica};
use super::seen::RememberedRepository;
use super::state::{Image, Revision};
use super::{below, files, manifest, records, trust};
use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::gpg::Signers;
use crate::registry::{CHANNEL_INDEX, Descriptor, EMPTY_BYTES, Manifest, Registry};
use crate::ui::{StageUi, Unit};
use shelf::{Shelf, shelves};

/// The tag of the default channel, beside its own.
pub const LATEST: &str = "latest";

/// What a revision's manifest is.
const IMAGE: &str = "application/vnd.imgforge.image.v1";

/// What a channel's manifest is.
const CHANNEL: &str = "application/vnd.imgforge.channel.v1";

/// Of which repository a manifest is.
const OWNER: &str = "org.imgforge.repository";

/// What files of targets are.
const ARTIFACT: &str = "application/vnd.imgforge.artifact.v1";

/// What other programs call an SBOM, and a provenance.
const SBOM: &str = "application/vnd.cyclonedx+json";
const PROVENANCE: &str = "application/vnd.in-toto+json";

/// Files of so many bytes lie in the manifest, too.
const INLINE: usize = 32 << 10;

/// Copies the repository in `root` to the registry and the prefix of names `to`, `oci://HOST[/PREFIX]`, as
/// [`copy`](super::copy()) copies it to a directory.
///
/// # Errors
/// When there is no repository, a file is not what the records say, the registry fails or refuses, or has something
/// else or newer under the names. What readers found there before, they still find then; the same call goes on.
pub fn copy_to_registry(
    root: &Path,
    to: &str,
    signers: &Signers,
    seen: Option<&RememberedRepository>,
    ui: &StageUi,
) -> Result<Copied> {
    let root = std::path::absolute(root).doing(|| format!("copying {}", root.display()))?;
    if Identity::read(&root)?.is_none() {
        return Err(records::no_repository(&root));
    }
    let source = CopySource {
        root: &root,
        steps: &|_| {},
    };
    let replica = source.snapshot(signers)?;
    let signed = replica.state.signed();
    refuse_gone((&root, &replica.state.id), signed, seen, Age::Current)?;
    refuse_old(&root, replica.signed(), seen, Age::Current)?;
    let shelves = shelves(&replica, to)?;
    let files = wanted(&replica.state, &root)?.into_iter();
    let mut copy = Copy {
        source,
        replica: &replica,
        files: files.map(|file| (file.path.clone(), file)).collect(),
        ui,
        copied: Copied::default(),
        is_found: true,
        done: 0,
        total: 0,
    };
    copy.total = shelves.iter().map(|shelf| copy.size(shelf)).sum();
    let mut revisions = vec![];
    for shelf in &shelves {
        revisions.push(copy.revisions(shelf)?);
    }
    for (shelf, revisions) in shelves.iter().zip(&revisions) {
        copy.channels(shelf, revisions)?;
    }
    for shelf in &shelves {
        copy.remove_gone(shelf);
    }
    if !copy.is_found {
        copy.ui.ui().warning(format!(
            "{to} keeps no list of what is about an image, so only imgforge finds its SBOM and provenance there"
        ));
    }
    if let Some(seen) = seen.filter(|_| replica.state.has_index()) {
        trust::proved(signers, seen, ui.ui());
    }
    Ok(copy.copied)
}

/// The files of a revision.
type Layers = Vec<Descriptor>;

struct Copy<'a> {
    source: CopySource<'a>,
    replica: &'a Replica,
    /// The repository's files by their paths.
    files: BTreeMap<String, FileToCopy>,
    ui: &'a StageUi,
    copied: Copied,
    /// Whether other programs find what is about the images.
    is_found: bool,
    done: u64,
    total: u64,
}

/// The revisions of an image that readers may have.
fn offered(image: &Image) -> impl Iterator<Item = (u64, &Revision)> {
    let published = image.published().filter(|(_, revision)| revision.offered());
    published.map(|(number, revision)| (*number, revision))
}

impl Copy<'_> {
    /// Bytes to compare, and perhaps to send.
    fn size(&self, shelf: &Shelf<'_>) -> u64 {
        let sizes = offered(shelf.image).map(|(_, revision)| {
            let more: u64 = revision.companions.values().map(|file| file.size).sum();
            revision.size + more
        });
        sizes.sum()
    }

    /// Puts the revisions of an image there; the files of each.
    fn revisions(&mut self, shelf: &Shelf<'_>) -> Result<BTreeMap<u64, Layers>> {
        let mut all = BTreeMap::new();
        shelf.registry.push_bytes(EMPTY_BYTES)?;
        for (number, revision) in offered(shelf.image) {
            let mut layers = vec![self.upload(shelf, &revision.file)?];
            let mut about = vec![];
            for (name, file) in &revision.companions {
                let own = self.upload(shelf, &file.path)?;
                let mut signed = vec![own.clone()];
                if file.signed {
                    signed.push(self.upload(shelf, &format!("{}.asc", file.path))?);
                }
                let of_target = file.about.contains_key("target");
                if !of_target {
                    layers.extend(signed.iter().cloned());
                }
                if let Some(what) = kind(name, of_target) {
                    about.push(
                        Manifest::artifact(what, signed)
                            .annotated([("org.opencontainers.image.title", name.clone())]),
                    );
                }
            }
            layers.push(self.upload(shelf, &manifest::path(&shelf.image.name, number))?);
            let own = Manifest::artifact(IMAGE, layers.clone()).annotated([
                ("org.imgforge.arch", revision.arch.clone()),
                ("org.imgforge.revision", number.to_string()),
                (OWNER, self.replica.state.id.clone()),
                ("org.opencontainers.image.title", revision.title.clone()),
                (
                    "org.opencontainers.image.version",
                    revision.image_version.clone(),
                ),
            ]);
            let (tag, bytes) = (number.to_string(), own.bytes());
            if shelf.there.get(&tag) != Some(&Sha256::of(&bytes)) {
                self.is_found &= shelf.registry.put_referrers(&own.descriptor(), about)?;
                shelf.registry.put_manifest(&tag, bytes)?;
            }
            all.insert(number, layers);
        }
        Ok(all)
    }

    /// Puts one file there, unless it is there, and what is here is what was published.
    fn upload(&mut self, shelf: &Shelf<'_>, path: &str) -> Result<Descriptor> {
        let file = self.files.get(path);
        let file = file.ok_or_else(|| Error::internal(format!("{path} was not listed")))?;
        let (root, registry) = (self.source.root, &shelf.registry);
        let was_sent;
        let descriptor = match &file.bytes {
            Some(bytes) => {
                self.source
                    .refuse_unsigned(file, bytes, root, &self.replica.keyring)?;
                was_sent = !registry.has_blob(&Sha256::of(bytes))?;
                text(registry, path, bytes)?
            }
            None => {
                let opened = below::open(root, Path::new(path));
                let mut opened =
                    opened.map_err(|cause| below::explained(root, path, "reading", cause))?;
                let (sha512, digest, size) = files::digests(&root.join(path), &mut opened)?;
                if size != file.size || file.sha512.as_ref() != Some(&sha512) {
                    return Err(self.source.damaged(file));
                }
                was_sent = registry.push_blob(&digest, &Arc::new(opened), size)?;
                Descriptor::new(media_type(path), &digest, size).titled(path)
            }
        };
        match was_sent {
            true => {
                self.copied.files += 1;
                self.copied.bytes += descriptor.size;
            }
            false => self.copied.kept += 1,
        }
        self.done += descriptor.size;
        self.ui
            .progress(self.done.min(self.total), self.total, Unit::Bytes);
        Ok(descriptor)
    }

    /// Moves the tags of the channels to what they have now; also of those that do not have the image any more:
    /// the index says so.
    fn channels(&mut self, shelf: &Shelf<'_>, revisions: &BTreeMap<u64, Layers>) -> Result<()> {
        let (replica, image) = (self.replica, shelf.image);
        for tag in replica.tags() {
            let channel = replica.channel(&tag);
            let placed = image.channels.get(channel);
            let placed: Vec<u64> = placed.iter().flat_map(|it| it.revisions()).collect();
            let path = replica.state.index_path(channel);
            let Some(index) = replica.text(&path) else {
                continue;
            };
            if placed.is_empty() && !shelf.there.contains_key(&tag) {
                continue;
            }
            let mut layers = vec![text(&shelf.registry, &path, index)?.in_role(CHANNEL_INDEX)];
            let list = format!("images/{}/revisions.sjson", image.name);
            for path in [KEY_FILE, &list] {
                let bytes = replica
                    .text(path)
                    .map(|bytes| text(&shelf.registry, path, bytes));
                layers.extend(bytes.transpose()?);
            }
            let files = placed.iter().filter_map(|number| revisions.get(number));
            for file in files.flatten() {
                if !layers.contains(file) {
                    layers.push(file.clone());
                }
            }
            let own = Manifest::artifact(CHANNEL, layers);
            let own = own.annotated([
                ("org.imgforge.channel", channel.to_owned()),
                (OWNER, replica.state.id.clone()),
            ]);
            let bytes = own.bytes();
            let known = shelf.there.get(&tag);
            if known == Some(&Sha256::of(&bytes)) {
                continue;
            }
            // While the disks were sent, another host may have copied a later state.
            let now = shelf.registry.manifest(&tag)?;
            if let Some(now) = now.filter(|now| known != Some(&Sha256::of(now))) {
                replica.refuse_other(&shelf.registry, &tag, &now)?;
            }
            shelf.registry.put_manifest(&tag, bytes)?;
        }
        Ok(())
    }

    /// Removes the revisions that nobody may have any more, where the registry lets anybody.
    fn remove_gone(&mut self, shelf: &Shelf<'_>) {
        let here: BTreeSet<String> = offered(shelf.image)
            .map(|(number, _)| number.to_string())
            .collect();
        let known = shelf.image.revisions.keys().map(u64::to_string);
        for tag in known.filter(|tag| !here.contains(tag)) {
            let Some(digest) = shelf.there.get(&tag) else {
                continue;
            };
            let about = shelf.registry.remove_referrers(digest, is_ours);
            match about.and_then(|()| shelf.registry.delete(&tag)) {
                Ok(()) => self.copied.removed += 1,
                Err(error) => {
                    let (address, why) = (shelf.registry.address(), error.causes().join(": "));
                    self.ui.ui().warning(format!(
                        "{address}:{tag} was retired or yanked, and stays in the registry, where no channel has it: {why}"
                    ));
                    return;
                }
            }
        }
    }
}

/// Puts a small file there.
fn text(registry: &Registry, path: &str, bytes: &[u8]) -> Result<Descriptor> {
    let digest = registry.push_bytes(bytes)?;
    let own = Descriptor::new(media_type(path), &digest, bytes.len() as u64).titled(path);
    Ok(match bytes.len() <= INLINE {
        true => own.inlined(bytes),
        false => own,
    })
}

/// What a file beside a disk is for other programs; nothing of what only `pull` reads.
fn kind(name: &str, of_target: bool) -> Option<&'static str> {
    match name {
        _ if of_target => Some(ARTIFACT),
        name if name.ends_with(".cdx.json") => Some(SBOM),
        name if name.ends_with(".provenance.json") => Some(PROVENANCE),
        _ => None,
    }
}

/// Whether a copy has put there what refers to a revision.
fn is_ours(about: &Descriptor) -> bool {
    let what = about.artifact_type.as_deref();
    what.is_some_and(|what| [ARTIFACT, SBOM, PROVENANCE].contains(&what))
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "xz")) => "application/x-xz",
        Some((_, "asc")) => "application/pgp-signature",
        Some((_, "gpg")) => "application/pgp-keys",
        Some((_, "json")) => kind(path, false).unwrap_or("application/json"),
        Some((_, "sjson")) => "text/plain",
        _ => "application/octet-stream",
    }
}
