//! The client of a repository: from `[REPO#]NAME[@REV]` to a disk on this host.
//!
//! [`find`] reads the index, of which only what a trusted key has signed counts, and chooses the
//! entry. [`fetch`] gets the blob: its blocks are decoded while they arrive, into a file beside
//! the final one, which gets its name only when the SHA-512 of all bytes is the signed one. What
//! an interrupt leaves is gone on with; complete blobs stay in the store, and of their successors
//! only the blocks that changed are fetched ([`blocks`]) and decoded (`seed`).

mod blob;
pub mod blocks;
mod choose;
mod disk;
mod download;
mod excerpt;
mod feeder;
mod kept;
mod page;
mod pin;
mod place;
mod plain;
mod record;
mod seed;
mod segments;
mod source;
mod trust;
mod virt_builder;
mod whole;

pub use crate::index::Reference;
pub use excerpt::{Excerpt, excerpt};
pub use kept::{Blob as KeptBlob, kept, put};
pub use pin::Pin;
pub use place::configured_at;
pub use record::beside;
pub use source::Registries;
pub use whole::whole;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::host::qemu_img::DiskFormat;
use crate::http::{Client, Url};
use crate::index::{self, Claims};
use crate::pack::read::ReadOptions;
use crate::recipe::Config;
use crate::store::Store;
use crate::store::ledger::Ledger;
use crate::ui::{Event, Ui};
use crate::units::Size;
use blob::Blob;
use place::RemoteRepository;
use trust::Trust;

/// The field of an index entry that has the image's version.
const VERSION_FIELD: &str = "imgforge_version";

/// More than any index has, in bytes.
const LARGEST_INDEX: u64 = 64 << 20;

/// What each decoding thread may use, with its share of the waiting blocks.
const MEMORY_A_THREAD: Size = Size::mib(128);

/// Downloads that nobody went on with for so long are removed.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What pulling works with.
#[derive(Debug)]
pub struct Session<'a> {
    /// imgforge.yaml, or its defaults.
    pub config: &'a Config,
    /// Where relative paths of imgforge.yaml start.
    pub root: Option<&'a Path>,
    /// Where blobs are kept, and what is remembered.
    pub store: &'a Store,
    /// This process' page of the ledger.
    pub ledger: &'a Ledger,
    /// Who reads over the network.
    pub client: &'a Client,
    /// The registries that are read from.
    pub registries: Registries,
    /// Who draws events.
    pub ui: &'a Ui,
}

/// Which image, and whom to trust about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The channel; default: the repository's default one.
    pub channel: Option<&'a str>,
    /// The architecture; default: this host's.
    pub arch: Option<&'a str>,
    /// The file of the public key to trust.
    pub key: Option<&'a Path>,
    /// The fingerprint of the key to trust.
    pub fingerprint: Option<&'a str>,
    /// Whether a lower revision than was seen before, or an index that has expired, is taken.
    pub allow_older: bool,
    /// Whether a revision that only a share of the machines gets is left out.
    pub settled: bool,
}

/// A published image, as a verified index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The name that was asked for.
    pub name: String,
    /// Its entry in the index.
    pub entry: String,
    /// Its revision.
    pub revision: u64,
    /// Its architecture.
    pub arch: String,
    /// Where the blob is.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub url: Url,
    /// SHA-512 of the blob, in hex.
    pub sha512: String,
    /// Size of the blob in bytes, if the index says.
    pub size: Option<u64>,
    /// Size of the disk as a guest sees it, in bytes.
    pub disk_size: u64,
    /// Format of the disk inside the blob, if the index says.
    pub format: Option<String>,
    /// Its `IMAGE_VERSION`, if imgforge published it.
    pub version: Option<String>,
    /// libosinfo's short id of the system on it, if the index says.
    pub osinfo: Option<String>,
}

fn of_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    let text = String::deserialize(from)?;
    Url::parse(&text).map_err(serde::de::Error::custom)
}

fn as_text<S: serde::Serializer>(url: &Url, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(url)
}

/// What [`fetch`] writes.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// The file. One that is there gives way in the end; of an earlier revision's disk, what is
    /// still the same is taken over.
    pub path: &'a Path,
    /// What is written.
    pub format: DiskFormat,
    /// The size that the disk grows to, as a guest sees it.
    pub size: Option<Size>,
    /// Whether the store keeps the blob.
    pub keep: bool,
    /// How many threads decode; default: one a core.
    pub threads: Option<NonZeroUsize>,
}

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pulled {
    /// The file.
    pub path: PathBuf,
    /// The image's revision.
    pub revision: u64,
    /// SHA-512 of the blob, in hex.
    pub sha512: String,
    /// Size of the disk as a guest sees it, in bytes.
    pub size: u64,
    /// Size of the blob in bytes.
    pub blob_size: u64,
    /// Bytes of the blob that came over the network.
    pub fetched: u64,
    /// Bytes of the blob that were here already.
    pub reused: u64,
    /// Bytes of the disk that were taken from the one that was there.
    pub copied: u64,
    /// Bytes of the disk that were changed there, and decoded.
    pub changed: u64,
    /// How many threads decoded.
    pub threads: usize,
    /// What decoders and waiting blocks could use at most, in bytes.
    pub memory: u64,
}

/// Finds an image in its repository.
///
/// # Errors
/// When the repository cannot be read, nobody trusted has signed its index, it has no such image,
/// or an older one than it had before.
pub fn find(session: &Session<'_>, reference: &Reference, options: &Options<'_>) -> Result<Image> {
    let place = place::find(session, reference, options.channel)?;
    let mut trust = Trust::find(session, &place, options)?;
    let Some(verified) = trust.read(&place.index, false)? else {
        return Err(no_index(session, &place));
    };
    let claims = Claims::parse(&verified.text);
    place.refuse_other(&claims, options.allow_older)?;
    trust.saw(&verified, &place.index)?;
    let text = verified.text;
    let sections = index::parse(&text).map_err(|problems| {
        Error::gate(format!(
            "{} breaks a rule that clients enforce",
            place.index
        ))
        .evidence(problems.iter().take(12).map(ToString::to_string))
    })?;
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let wanted = choose::Requirement {
        name: &reference.name,
        // Entries of the default channel have the names of their images, whatever asked for it.
        channel: place.channel.as_deref().filter(|_| !claims.default),
        proved: claims.channel.is_some(),
        arch: options.arch.unwrap_or(std::env::consts::ARCH),
        machine: machine
            .as_deref()
            .map(str::trim)
            .filter(|id| !id.is_empty() && !options.settled),
    };
    let chosen = choose::choose(&sections, &wanted);
    if let Some(revision) = reference.revision
        && chosen.as_ref().ok().map(|entry| entry.revision) != Some(revision)
    {
        return record::at_revision(&place, &mut trust, &wanted, revision);
    }
    let entry = chosen?;
    if reference.revision.is_none() {
        trust.no_older(&entry)?;
    }
    let sha512 = entry.sha512.clone().ok_or_else(|| {
        Error::gate(format!("the index has no sha512 of `{}`", entry.id))
            .hint("tell the repository's owner to add `checksum[sha512]=`")
    })?;
    let mut fields = entry.other.iter();
    let version = fields.find(|(key, _)| key == VERSION_FIELD);
    Ok(Image {
        name: reference.name.clone(),
        version: version.map(|(_, version)| version.clone()),
        osinfo: entry.osinfo,
        revision: entry.revision,
        // Relative, whatever it looks like: it was checked to be no address.
        url: place.index.join(&format!("./{}", entry.file))?,
        entry: entry.id,
        arch: entry.arch,
        sha512,
        size: entry.compressed_size,
        disk_size: entry.size,
        format: entry.format,
    })
}

/// Whoever asks for a channel that is not there learns which ones are.
fn no_index(session: &Session<'_>, place: &RemoteRepository) -> Error {
    #[derive(Deserialize)]
    struct Channels {
        default: String,
        channels: Vec<Channel>,
    }
    #[derive(Deserialize)]
    struct Channel {
        name: String,
    }
    let error = Error::stage(format!("{} does not exist", place.index));
    if place.base.is_oci() {
        let channel = place.channel.as_deref().unwrap_or_default();
        if channel.parse::<u64>().is_ok() {
            return error.hint(format!(
                "a revision is named by `@`: {}@{channel}",
                place
                    .base
                    .to_string()
                    .split(source::BETWEEN)
                    .next()
                    .unwrap_or_default()
            ));
        }
        let tags = session.tags(&place.base).unwrap_or_default();
        let is_channel = |tag: &&String| tag.parse::<u64>().is_err() && !tag.starts_with("sha256-");
        let channels = tags.iter().filter(is_channel);
        let channels: Vec<&str> = channels.map(String::as_str).collect();
        return error.hint(match channels.is_empty() {
            true => "the registry has no such image, or shows it only after `podman login`".into(),
            false => format!("the registry has the channels {}", channels.join(", ")),
        });
    }
    let list = place.base.join("channels/index.json");
    let list = list.and_then(|url| session.client.read(&url, 1 << 20)).ok();
    let list = list.and_then(|bytes| serde_json::from_slice::<Channels>(&bytes).ok());
    match (list, &place.channel) {
        (Some(list), Some(channel)) if list.default == *channel => error.hint(format!(
            "`{channel}` is the default channel there: leave --channel out"
        )),
        (Some(list), _) => {
            let names: Vec<String> = list.channels.into_iter().map(|c| c.name).collect();
            error.hint(format!(
                "the repository has the channels {}",
                names.join(", ")
            ))
        }
        (None, _) => error.hint("name the directory of a repository, or its signed index.asc"),
    }
}

/// Writes the disk of an image, verified.
///
/// # Errors
/// When the blob cannot be fetched or is not what the signed index says, or the disk cannot be
/// written. Then nothing is at the output's path that was not there before.
pub fn fetch(session: &Session<'_>, image: &Image, output: &Output<'_>) -> Result<Pulled> {
    let outlet = disk::ready(image, output)?;
    session
        .store
        .remove_stale_partials(SystemTime::now() - STALE);
    let ui = session.ui.stage(&image.name, blob::STAGE);
    ui.ui().event(&Event::Started {
        image: image.name.clone(),
        stage: blob::STAGE.into(),
        key: image.sha512.get(..64).unwrap_or_default().into(),
        last: None,
    });
    let began = Instant::now();
    let (options, threads, memory) = reading(output, image);
    let scratch = session.ledger.scratch(output.path)?;
    let disk = scratch.path().join("disk");
    std::fs::File::create_new(&disk).doing(|| format!("writing {}", disk.display()))?;
    let work = Blob {
        session,
        image,
        disk: &disk,
        options,
        seed: Arc::new(seed::find(session, image, output)),
        keep: output.keep,
        ui: &ui,
    };
    let origin = work.obtain()?;
    let (made, size) = disk::finish(image, output, disk.clone(), &ui)?;
    outlet.take(&made, None)?;
    drop(scratch);
    let human = |bytes| Size::bytes(bytes).human();
    let mut there = String::new();
    if origin.copied > 0 {
        there += &format!("{} of the disk that was there kept, ", human(origin.copied));
    }
    if origin.changed > 0 {
        there += &format!("{} changed there and decoded, ", human(origin.changed));
    }
    ui.ui().event(&Event::Pulled {
        image: image.name.clone(),
        revision: image.revision,
        fetched: origin.fetched,
        reused: origin.reused,
        copied: origin.copied,
        changed: origin.changed,
    });
    ui.ui().event(&Event::Finished {
        image: image.name.clone(),
        stage: blob::STAGE.into(),
        took: began.elapsed(),
        note: Some(format!(
            "{} fetched, {} here already, {there}{threads} threads, at most {} of memory",
            human(origin.fetched),
            human(origin.reused),
            memory.human()
        )),
    });
    Ok(Pulled {
        path: output.path.to_owned(),
        revision: image.revision,
        sha512: image.sha512.clone(),
        size: size.as_bytes(),
        blob_size: origin.size,
        fetched: origin.fetched,
        reused: origin.reused,
        copied: origin.copied,
        changed: origin.changed,
        threads,
        memory: memory.as_bytes(),
    })
}

fn reading(output: &Output<'_>, image: &Image) -> (ReadOptions, usize, Size) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = output.threads.map_or(cores, NonZeroUsize::get);
    let memory = Size::bytes(MEMORY_A_THREAD.as_bytes() * threads as u64);
    let options = ReadOptions {
        threads: NonZeroUsize::new(threads),
        memory: Some(memory),
        largest: Some(Size::bytes(image.disk_size)),
        ..ReadOptions::default()
    };
    (options, threads, memory)
}
