//! Publish: the packed disk, with its gate's proof, into a signed repository.

mod companions;
mod fixes;
pub mod provenance;

use std::collections::BTreeMap;
use std::path::Path;

use crate::digest::Sha256;
use crate::doctor::Need;
use crate::error::{Error, Result};
use crate::git::{self, RecipeCommit};
use crate::pull::Pin;
use crate::pull::blocks;
use crate::recipe::Config;
use crate::recipe::types::Recipe;
use crate::repository::manifest::{LockedRecord, Origin, Recorded, StageRecord};
use crate::repository::{Companion, GateProof, Publication, Repository, Stamp, State, place};
use crate::stage::check::Checked;
use crate::stage::install::BaseFacts;
use crate::stage::pack::Packed;
use crate::stage::plan::Plan;
use crate::stage::seal::Sealed;
use crate::stage::{Artifact, OfSealed as _, Stage};
use crate::store::{Layer, Store};
use crate::ui::StageUi;
use crate::units::Size;

/// The stage's row. It has no result in the store, so that no plan has it.
pub const STAGE: Stage = Stage {
    name: "publish",
    makes_disk: false,
    fetches: false,
    secrets: false,
    below: "",
    parts: |_| vec![],
    needs: |_, _| &[Need::Signing],
    has: |_, _| Ok(false),
};

/// What is published, and where to.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the image was made by.
    pub plan: &'a Plan,
    /// Root of the recipe repository, where relative paths of its configuration start.
    pub root: &'a Path,
    /// Its imgforge.yaml, which names the repositories.
    pub config: &'a Config,
    /// The state directory, where imgforge's own signing key is.
    pub store: &'a Store,
    /// The channel of the command line.
    pub channel: Option<&'a str>,
    /// No server is asked.
    pub offline: bool,
    /// The sealed disk.
    pub sealed: &'a Layer<Sealed>,
    /// The gate's proof.
    pub checked: &'a Layer<Checked>,
    /// The compressed disk.
    pub packed: &'a Layer<Packed>,
    /// What was made for targets.
    pub artifacts: &'a [Artifact],
}

/// Asks what can be asked before the hours that a build takes: where to, may we write there, does
/// the channel take anything, and are the recipes as this host or imgforge.yaml demands.
///
/// # Errors
/// When no repository is configured, it has no directory, or that cannot be written, the channel
/// is frozen, or the recipes are not at a signed commit where that is demanded.
pub fn ready(config: &Config, plan: &Plan, root: &Path, channel: Option<&str>) -> Result<()> {
    let recipe = &plan.resolved.recipe;
    let place = place::find(config, root, asked(recipe))?;
    git::publishable(root, config.require_signed_commits, &plan.read())?;
    let path = &place.path;
    std::fs::create_dir_all(path)
        .and_then(|()| tempfile::tempfile_in(path))
        .map(drop)
        .map_err(|cause| {
            Error::host(format!(
                "the repository {} cannot be written",
                path.display()
            ))
            .cause(cause)
            .hint("choose another directory in imgforge.yaml, or build without --publish")
        })?;
    let channel = channel
        .or(wanted_channel(recipe))
        .unwrap_or(place.default_channel());
    State::refuse_frozen(path, channel)
}

/// The repository that a recipe names.
fn asked(recipe: &Recipe) -> Option<&str> {
    recipe.publish.as_ref()?.repository.as_deref()
}

/// The channel that a recipe names.
fn wanted_channel(recipe: &Recipe) -> Option<&str> {
    recipe.publish.as_ref()?.channel.as_deref()
}

/// Publishes images, all their architectures or none, in one transaction for each repository that their
/// recipes name; the same bytes again change nothing.
///
/// # Errors
/// When no repository is configured, a proof is about another disk, signing fails, or the
/// repository cannot be written.
pub fn run(requests: &[Request<'_>], ui: &StageUi) -> Result<()> {
    let mut places: BTreeMap<Option<&str>, Vec<&Request<'_>>> = BTreeMap::new();
    for request in requests {
        let place = asked(&request.plan.resolved.recipe);
        places.entry(place).or_default().push(request);
    }
    let stamp = Stamp::now();
    for (place, requests) in places {
        to(place, &requests, &stamp, ui)?;
    }
    Ok(())
}

/// Publishes to one repository.
fn to(name: Option<&str>, requests: &[&Request<'_>], stamp: &Stamp, ui: &StageUi) -> Result<()> {
    let Some(first) = requests.first() else {
        return Ok(());
    };
    let place = place::find(first.config, first.root, name)?;
    let settings = place.settings(first.config, first.store.state(), ui.ui())?;
    let default_channel = settings.default_channel.clone();
    let proofs = requests.iter().map(|one| one.checked.facts().proof());
    let proofs = proofs.collect::<Result<Vec<_>>>()?;
    let publications = requests.iter().zip(&proofs).map(|(one, proof)| {
        let wanted = wanted_channel(&one.plan.resolved.recipe);
        let channel = one.channel.or(wanted).unwrap_or(&default_channel);
        publication(one, (place.path.as_path(), channel), proof, stamp, ui)
    });
    let publications = publications.collect::<Result<Vec<_>>>()?;
    Repository::open(settings)?.publish(&publications, ui.ui())?;
    Ok(())
}

/// What is published of one architecture.
fn publication<'a>(
    request: &'a Request<'_>,
    (root, channel): (&Path, &'a str),
    gate: &'a GateProof,
    stamp: &Stamp,
    ui: &StageUi,
) -> Result<Publication<'a>> {
    let recipe = &request.plan.resolved.recipe;
    let (system, packed) = (&request.sealed.facts().os, request.packed.facts());
    let required = request.config.require_signed_commits;
    let source = git::publishable(request.root, required, &request.plan.read())?;
    let mut companions = companions::of(request, source.as_ref())?;
    companions.push(block_map(&request.packed.xz())?);
    let fixes = fixes::since(request, root, channel, ui)?;
    Ok(Publication {
        name: &recipe.name,
        channel,
        arch: recipe.machine.arch.as_str(),
        version: request.plan.version(),
        xz: request.packed.xz(),
        size: Size::bytes(packed.size),
        sha512: &packed.sha512,
        virtual_size: Size::bytes(packed.virtual_size),
        sealed: packed.sealed(),
        gate,
        title: recipe.title(),
        osinfo: Some(system.osinfo.as_str()).filter(|id| *id != "unknown"),
        expand: Some(system.root.as_str()).filter(|root| is_partition(root)),
        notes: None,
        origin: Origin {
            fixes: fixes.as_ref().map(Recorded::new).transpose()?,
            ..origin(request.plan, &request.sealed.facts().install)?
        },
        companions,
        built_on: below(request.plan),
        keep: recipe.publish.as_ref().and_then(|publish| publish.keep),
        stamp: stamp.clone().commit(source.as_ref().map(described)),
    })
}

/// The images that an image was built on, as `NAME-VERSION`.
fn below(plan: &Plan) -> Vec<String> {
    let bases = std::iter::successors(plan.below(), |plan| plan.below());
    let layers = bases.map(|base| format!("{}-{}", base.name(), base.version()));
    layers
        .chain(plan.pinned().and_then(Pin::built_on))
        .collect()
}

/// The digests of the packed disk's blocks: who has an earlier revision fetches only new ones.
fn block_map(xz: &Path) -> Result<Companion> {
    let name = xz.file_name().unwrap_or_default().to_string_lossy();
    let map = blocks::of_file(xz)?;
    Ok(Companion::bytes(format!("{name}{}", blocks::SUFFIX), map))
}

/// virt-resize grows a partition, not a logical volume.
fn is_partition(root: &str) -> bool {
    root.starts_with("/dev/sd")
}

/// The commit of the recipe repository as histories have it, if it is one of git's.
pub fn commit(root: &Path) -> Option<String> {
    git::source(root).ok().flatten().as_ref().map(described)
}

fn described(source: &RecipeCommit) -> String {
    let dirty = if source.dirty { "-dirty" } else { "" };
    format!("{}{dirty}", source.commit)
}

/// How an image was made, for its manifest.
fn origin(plan: &Plan, base: &BaseFacts) -> Result<Origin> {
    let stages: Vec<StageRecord> = plan
        .all()
        .iter()
        .map(|planned| StageRecord {
            image: planned.image.clone(),
            stage: planned.label.clone(),
            key: planned.key.clone(),
        })
        .collect();
    let from = plan.pinned().map(Pin::record);
    let locked = plan.lock.as_ref().map(|lock| LockedRecord {
        sha256: Sha256::of(lock.to_string().as_bytes()).as_str().to_owned(),
        clock: lock.clock.to_string(),
        judged_valid_until: false,
    });
    let fetched = Some(&base.fetched).filter(|fetched| !fetched.is_empty());
    Ok(Origin {
        recipe: Some(Recorded::new(&plan.resolved.recipe)?),
        stages: Some(Recorded::new(&stages)?),
        from: from.as_ref().map(Recorded::new).transpose()?,
        fetched: fetched.map(Recorded::new).transpose()?,
        locked: locked.as_ref().map(Recorded::new).transpose()?,
        fixes: None,
        imgforge: Some(env!("CARGO_PKG_VERSION").to_owned()),
    })
}
