//! `imgforge sync openstack`.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512};

use crate::cli::place::{self, RepositoryArgs};
use crate::cli::{App, out};
use crate::digest;
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::interrupt;
use crate::repository::fresh::Age;
use crate::repository::state::{CompanionRecord, Revision};
use crate::repository::{State, trust, verify};
use crate::sync::openstack::{DesiredImage, Settings, sync};
use crate::targets::Format;
use crate::targets::openstack::Manifest;
use crate::ui::summary::table;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The official client `openstack` does the work, with the user's clouds.yaml."
)]
pub(crate) struct OpenStack {
    /// Images of the repository
    #[arg(value_name = "NAME", required_unless_present = "manifests")]
    names: Vec<String>,
    /// The channel (default: the repository's)
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// Uploads this NAME-VERSION.openstack.json of a build, the newest last (can be repeated)
    #[arg(long = "manifest", value_name = "FILE", conflicts_with_all = ["names", "channel"])]
    manifests: Vec<PathBuf>,
    /// The cloud of clouds.yaml
    #[arg(long, value_name = "NAME")]
    cloud: Option<String>,
    /// How many of the newest stay in sight
    #[arg(long, value_name = "N", default_value = "3")]
    keep: NonZeroUsize,
    /// Deletes the others, but for what is protected or a server was made from
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl OpenStack {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let settings = Settings {
            cloud: self.cloud.as_deref(),
            delete: self.delete,
            ui: &app.ui,
        };
        let mut rows: Vec<[String; 4]> = vec![];
        // One image that fails keeps no other one away.
        let mut failed: Vec<Error> = vec![];
        let wanted = self.wanted(app)?;
        let (all, ready) = (wanted.len(), wanted.iter().any(Result::is_ok));
        for image in wanted {
            let synced = interrupt::check().and(image).and_then(|mut image| {
                image.disks.truncate(self.keep.get());
                let mut done = vec![];
                let synced = sync(
                    &image.name,
                    &image.disks,
                    &image.yanked,
                    &settings,
                    &mut done,
                );
                rows.extend(done.into_iter().map(|done| {
                    let what = done.what.word().to_owned();
                    [image.name.clone(), done.version, done.id, what]
                }));
                synced
            });
            failed.extend(synced.err());
            if (failed.last()).is_some_and(|error| matches!(error.kind(), Kind::Interrupted(_))) {
                break;
            }
        }
        app.ui.close();
        if ready {
            out::print(&table(["IMAGE", "VERSION", "ID", ""], [false; 4], rows))?;
        }
        let kind = Kind::of_several(failed.iter().map(Error::kind));
        let last = match kind {
            None => return interrupt::check(),
            // Whoever interrupts knows that not all was done.
            Some(Kind::Interrupted(_)) => failed.pop(),
            Some(_) if failed.len() == 1 => failed.pop(),
            Some(kind) => Some(Error::new(
                kind,
                format!("{} of {all} disks were not synced", failed.len()),
            )),
        };
        for error in failed {
            app.ui.warning(error.render().trim_end().to_owned());
        }
        last.map_or(Ok(()), Err)
    }

    /// What the cloud should have of each image for each architecture, or why it cannot be told.
    fn wanted(&self, app: &App) -> Result<Vec<Result<Wanted>>> {
        if self.manifests.is_empty() {
            let (path, signers, seen) = self.repository.to_read(app)?;
            let state = State::read(&path)?;
            for name in &self.names {
                verify::record(&state, &signers, name, (Some(&seen), Age::Current))?;
            }
            trust::proved(&signers, &seen, &app.ui);
            let channel = self.channel.as_deref().unwrap_or(&state.default_channel);
            let mut wanted = vec![];
            for name in &self.names {
                wanted.extend(of_channel(&state, channel, name, self.keep.get())?);
            }
            return Ok(wanted);
        }
        let mut all: Vec<Wanted> = vec![];
        for path in self.manifests.iter().rev() {
            let disk = read(path)?;
            let same = |one: &&mut Wanted| {
                let first = one.disks.first();
                let own = first.and_then(|disk| disk.manifest.architecture());
                one.name == disk.manifest.name && own == disk.manifest.architecture()
            };
            match all.iter_mut().find(same) {
                Some(one) => one.disks.push(disk),
                None => all.push(Wanted {
                    name: disk.manifest.name.clone(),
                    disks: vec![disk],
                    yanked: vec![],
                }),
            }
        }
        Ok(all.into_iter().map(Ok).collect())
    }
}

/// What a cloud should have of an image, for one architecture.
struct Wanted {
    name: String,
    /// The newest first.
    disks: Vec<DesiredImage>,
    /// The SHA-512 of all files of yanked revisions, in hex.
    yanked: Vec<String>,
}

/// The newest of what a channel has of an image and had before, for each architecture, without what it
/// went back from, and what nobody is offered any more; or an error where there is no disk, or a damaged one.
fn of_channel(
    state: &State,
    channel: &str,
    name: &str,
    keep: usize,
) -> Result<Vec<Result<Wanted>>> {
    let image = state.images.get(name).ok_or_else(|| {
        Error::usage(format!("the repository has no image `{name}`"))
            .hint("`imgforge channel list` shows what there is")
    })?;
    let placement = image.channels.get(channel);
    let current = || placement.into_iter().flat_map(|it| &it.current);
    let placed: Vec<&Revision> = image
        .history_of(channel)
        .filter_map(|moved| moved.revision)
        .chain(current().map(|(_, number)| *number))
        .filter_map(|number| image.revisions.get(&number))
        .collect();
    let with_disk = placed.iter().filter(|one| manifest(one).is_some());
    let with_disk: BTreeSet<&str> = with_disk.map(|one| one.arch.as_str()).collect();
    let lacks = format!("the channel {channel} has no disk of `{name}` for OpenStack");
    if with_disk.is_empty() {
        return Ok(vec![Err(no_disk(lacks))]);
    }
    let mut archs = with_disk;
    archs.extend(current().map(|(arch, _)| arch.as_str()));
    let each = archs.into_iter().map(|arch| {
        let placed = placed.iter().copied().filter(|one| one.arch == arch);
        let placed: Vec<&Revision> = placed.collect();
        let found = newest(state, name, &placed, keep)?;
        found.ok_or_else(|| no_disk(format!("{lacks} for {arch}")))
    });
    Ok(each.collect())
}

fn no_disk(lacks: String) -> Error {
    Error::usage(lacks)
        .cause("what the cloud has of it stays")
        .hint("`targets: {openstack: {}}` in the recipe makes one")
}

/// The newest of the revisions of one architecture, which were placed in this order; `None` where a cloud
/// is better left as it is.
fn newest(state: &State, name: &str, placed: &[&Revision], keep: usize) -> Result<Option<Wanted>> {
    let mut versions: Vec<&Revision> = vec![];
    for revision in placed {
        let same = |known: &&Revision| known.image_version == revision.image_version;
        // Going back to a version takes away what came after it; its bytes are those of now.
        if let Some(at) = versions.iter().position(same) {
            versions.truncate(at);
        }
        versions.push(revision);
    }
    let offered = versions.iter().rev().filter(|one| one.offered());
    let disks: Vec<DesiredImage> = offered
        .filter_map(|one| manifest(one))
        .take(keep)
        .map(|file| of_file(state, file))
        .collect::<Result<_>>()?;
    // A yanked disk must go out of sight, also where its version has none any more; one that is
    // good stays, as nobody knows whether the target was lost by mistake.
    let mut with_disk = placed.iter().filter(|one| manifest(one).is_some());
    let yanked: Vec<String> = with_disk
        .clone()
        .filter(|one| one.yanked.is_some())
        .flat_map(|one| one.companions.values().map(|file| file.sha512.clone()))
        .collect();
    let good = with_disk.any(|one| one.offered());
    if disks.is_empty() && (good || yanked.is_empty()) {
        return Ok(None);
    }
    Ok(Some(Wanted {
        name: name.to_owned(),
        disks,
        yanked,
    }))
}

/// What tells OpenStack about a revision.
fn manifest(revision: &Revision) -> Option<&CompanionRecord> {
    let mut files = revision.artifacts().map(|(_, file)| file);
    files.find(|file| file.is(Format::OpenstackManifest))
}

/// As [`read`], of what a repository has.
fn of_file(state: &State, file: &CompanionRecord) -> Result<DesiredImage> {
    let path = state.root.join(&file.path);
    let bytes = state.read_file(&file.path)?;
    if hex::encode(Sha512::digest(&bytes)) != file.sha512 {
        let error = Error::gate(format!("{} is not what was signed", path.display()));
        return Err(error.hint("`imgforge repo verify` shows what else is wrong"));
    }
    let wanted = parse(&path, &bytes)?;
    let disk = Path::new(&file.path).with_file_name(&wanted.manifest.file);
    state.refuse_link(&disk)?;
    Ok(wanted)
}

/// Reads a manifest and looks whether the disk beside it is the one it tells of.
fn read(path: &Path) -> Result<DesiredImage> {
    let bytes = std::fs::read(path)
        .map_err(|cause| Error::usage(format!("{} cannot be read", path.display())).cause(cause))?;
    parse(path, &bytes)
}

/// As [`read`], of what was read already.
fn parse(path: &Path, bytes: &[u8]) -> Result<DesiredImage> {
    let none = || {
        Error::usage(format!(
            "{} is not a manifest for OpenStack",
            path.display()
        ))
    };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|cause| none().cause(cause))?;
    if Path::new(&manifest.file).file_name() != Some(manifest.file.as_ref()) {
        return Err(none().cause(format!("`{}` is not a file beside it", manifest.file)));
    }
    let file = path.parent().unwrap_or(Path::new(".")).join(&manifest.file);
    let file = file
        .canonicalize()
        .doing(|| format!("finding {}", file.display()))?;
    if digest::file_sha512(&file)? != manifest.sha512 {
        return Err(Error::gate(format!("{} is damaged", file.display()))
            .cause("it is not the file that the manifest describes"));
    }
    Ok(DesiredImage { manifest, file })
}
