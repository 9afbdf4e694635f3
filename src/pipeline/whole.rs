//! What is handed over at once: an image, in all the architectures that its recipe lists.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::error::{Context as _, Error, Result};
use crate::host::outlet::Folder;
use crate::mutex::Unpoisoned as _;
use crate::pipeline::run::HeldLocks;
use crate::pipeline::shell::Running;
use crate::pipeline::{Options, Session, advised};
use crate::recipe::Repo;
use crate::stage::check::Checked;
use crate::stage::pack::Packed;
use crate::stage::plan::Plan;
use crate::stage::seal::Sealed;
use crate::stage::{Artifact, OfSealed as _, StageId, publish};
use crate::store::{Draft, Layer};
use crate::targets::{self, Format, gate};

/// What the stages of an image made.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) sealed: Layer<Sealed>,
    pub(super) checked: Layer<Checked>,
    pub(super) packed: Layer<Packed>,
    pub(super) artifacts: Vec<Artifact>,
}

/// An image whose stages have all ended well; what they made stays in the store as long as this is there.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) plan: Plan,
    pub(super) results: Results,
    /// `-o DIR`.
    pub(super) output: Option<Folder>,
    pub(super) _held: (HeldLocks, Option<Running>),
}

/// The images of one command, so that the last architecture of a name hands all of them over.
#[derive(Debug)]
pub struct Wholes {
    images: Vec<String>,
    built: Mutex<Vec<Built>>,
}

/// The name of an image, without its architecture.
pub fn name(image: &str) -> &str {
    image.split_once(':').map_or(image, |(name, _)| name)
}

impl Wholes {
    /// Waits for these images.
    pub fn new(images: &[String]) -> Self {
        Wholes {
            images: images.to_vec(),
            built: Mutex::default(),
        }
    }

    /// All architectures of a name, when `built` is the last one.
    pub(super) fn complete(&self, built: Built) -> Option<Vec<Built>> {
        let of_name = |image: &str| name(image) == built.plan.name();
        let wanted = self.images.iter().filter(|image| of_name(image)).count();
        let mut waiting = self.built.lock().unpoisoned();
        let (mut all, others): (Vec<Built>, Vec<Built>) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|other| other.plan.name() == built.plan.name());
        *waiting = others;
        all.push(built);
        if all.len() < wanted {
            waiting.append(&mut all);
            return None;
        }
        // As the recipe lists them, whichever ended last.
        all.sort_by_key(|one| {
            let mut images = self.images.iter();
            images.position(|image| image == one.plan.image())
        });
        Some(all)
    }

    /// The names of which an architecture is built, and others are not.
    pub fn incomplete(&self) -> BTreeSet<String> {
        let waiting = self.built.lock().unpoisoned();
        let names = waiting.iter().map(|built| built.plan.name().to_owned());
        names.collect()
    }
}

/// Refuses to publish some of a name's architectures, or to several places.
///
/// # Errors
/// Of kind usage, when one is left out, or they differ in `publish`.
pub fn refuse_parts(repo: &Repo, images: &[String], vars: &[(String, String)]) -> Result<()> {
    for image in images {
        let name = name(image);
        let all = repo.named(name);
        if let Some(lacks) = all.iter().find(|one| !images.contains(one)) {
            return Err(Error::usage(format!(
                "`{name}` is published as a whole, and {lacks} is not named"
            ))
            .hint(format!("name `{name}` without an architecture")));
        }
        if all.len() == 1 || all[0] != *image {
            continue;
        }
        // What is wrong with a recipe, its build says.
        let place = |one: &String| Some(repo.load(one, vars).ok()?.recipe.publish);
        let places: Vec<_> = all.iter().filter_map(place).collect();
        if places.iter().any(|other| *other != places[0]) {
            return Err(Error::usage(format!(
                "`publish` differs between the architectures of `{name}`"
            ))
            .hint("write it without `arch` and `debian_arch`"));
        }
    }
    Ok(())
}

/// Copies the artifacts to where the command line wants them, and publishes all in one transaction; the
/// architectures of a name stand together.
///
/// # Errors
/// When a file cannot be written, or as the publication.
pub(super) fn hand_over(session: &Session, options: &Options, built: &[Built]) -> Result<()> {
    for one in built {
        advised::admit(session, options.offline, one)?;
    }
    for whole in built.chunk_by(|one, next| one.plan.name() == next.plan.name()) {
        copy(session, options, whole)?;
    }
    let (Some(channel), Some(first)) = (&options.publish, built.first()) else {
        return Ok(());
    };
    let requests = built
        .iter()
        .map(|Built { plan, results, .. }| publish::Request {
            plan,
            root: session.repo.root(),
            config: &session.config,
            store: &session.store,
            channel: channel.as_deref(),
            offline: options.offline,
            sealed: &results.sealed,
            checked: &results.checked,
            packed: &results.packed,
            artifacts: &results.artifacts,
        });
    let requests: Vec<_> = requests.collect();
    let image = match built {
        [one] => one.plan.image(),
        _ => first.plan.name(),
    };
    let published = publish::run(&requests, &session.ui.stage(image, StageId::Publish.name()));
    session.pins.forget();
    published
}

fn copy(session: &Session, options: &Options, whole: &[Built]) -> Result<()> {
    let joined = match (&options.output, &options.push) {
        (None, None) => None,
        _ => join(session, whole)?,
    };
    for built in whole {
        built.copy_artifacts(&session.ui)?;
    }
    match (&joined, whole) {
        // As long as the draft is there, so is the file.
        (Some((_draft, index)), [first, ..]) if options.output.is_some() => {
            first.copy_artifact(index, first.plan.name(), &session.ui)?;
        }
        // A build for other targets leaves it.
        (None, [first, ..]) if whole.iter().any(|built| container(built).is_some()) => {
            first.remove_joined(&session.ui)?;
        }
        _ => {}
    }
    match &options.push {
        Some(to) => push(session, to, joined.as_ref().map(|(_, index)| index), whole),
        None => Ok(()),
    }
}

/// Puts the containers into a registry: what was `joined` in the place of its parts.
fn push(session: &Session, to: &str, joined: Option<&Artifact>, whole: &[Built]) -> Result<()> {
    for built in whole {
        let sealed = built.results.packed.facts().sealed();
        for Artifact { path, record } in &built.results.artifacts {
            let is_part = joined.is_some() && record.about.format == Format::OciArchive;
            if targets::is_container(record) && !is_part {
                gate::admit(path, record.proof.as_ref(), sealed)?;
                targets::push(path, record, to, &session.ui)?;
            }
        }
    }
    joined.map_or(Ok(()), |Artifact { path, record }| {
        targets::push(path, record, to, &session.ui)
    })
}

/// The container image among a build's artifacts.
fn container(built: &Built) -> Option<&Artifact> {
    let mut artifacts = built.results.artifacts.iter();
    artifacts.find(|it| it.record.about.format == Format::OciArchive)
}

/// One container image of those of all architectures, in a directory that is there as long as the
/// draft. Nothing where the image has one architecture, or one of them has no container.
fn join(session: &Session, whole: &[Built]) -> Result<Option<(Draft, Artifact)>> {
    let [first, _, ..] = whole else {
        return Ok(None);
    };
    let mut containers = vec![];
    for built in whole {
        let Some(Artifact { path, record }) = container(built) else {
            return Ok(None);
        };
        let sealed = built.results.packed.facts().sealed();
        gate::admit(path, record.proof.as_ref(), sealed)?;
        containers.push(path.as_path());
    }
    let draft = session.store.draft(session.host.ledger()?)?;
    let scratch = draft.path().join("scratch");
    std::fs::create_dir(&scratch).doing(|| format!("making {}", scratch.display()))?;
    let name = first.plan.name();
    let made = targets::join_containers(name, &containers, draft.path(), &scratch)?;
    let path = draft.path().join(&made.file);
    let record = made.record("docker", draft.path(), None)?;
    Ok(Some((draft, Artifact { path, record })))
}
