//! Recipes against store against every channel: what would be built and why, what is published
//! from which commit, and what drifted.

mod fixes;
mod places;

use std::collections::{BTreeMap, BTreeSet};

pub use fixes::WaitingFixes;
use places::{known, not_in, of_placement};
use serde::Serialize;

use crate::error::{Context as _, Kind, Result};
use crate::git;
use crate::pipeline::records::Record;
use crate::pipeline::signed::{self, IndexStatus, KeyStatus};
use crate::pipeline::{self, Options, Session, whole};
use crate::repository::state::Image;
use crate::repository::{State, place};
use crate::stage::plan::{Plan, Planned};
use crate::store::epoch::Mode;
use crate::time::now;

/// Everything that `status` knows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatusReport {
    /// When it was asked, seconds since 1970.
    pub at: u64,
    /// The commit of the recipes; `-dirty` behind it says that files were changed.
    pub commit: Option<String>,
    /// The images, those without a recipe at the end.
    pub images: Vec<ImageStatus>,
    /// The keys of the repositories.
    pub keys: Vec<KeyStatus>,
    /// The signed indexes of the repositories.
    pub indexes: Vec<IndexStatus>,
    /// Bytes that the store allocates.
    pub store: u64,
}

/// One image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageStatus {
    /// Its name.
    pub image: String,
    /// `IMAGE_VERSION` that its recipe makes now; none without a recipe, or with a wrong one.
    pub version: Option<String>,
    /// The stages that a build would run.
    pub rebuild: Vec<Rebuild>,
    /// The stages that a build would fetch from the shared store, if that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<String>,
    /// What each channel has.
    pub places: Vec<PlaceStatus>,
    /// What drifted, a sentence each.
    pub drift: Vec<String>,
    /// The architecture that its recipe makes; none without a recipe, or with a wrong one.
    #[serde(skip)]
    pub arch: Option<&'static str>,
    /// Whether a recipe makes it.
    #[serde(skip)]
    pub made: bool,
    /// What to do where its recipe cannot be planned.
    #[serde(skip)]
    pub unplanned: Option<String>,
    /// What builds did on this host.
    #[serde(skip)]
    pub record: Record,
}

/// A stage that a build would run.
#[derive(Debug, Clone, Serialize)]
pub struct Rebuild {
    /// The stage, with its image where it is another one.
    pub stage: String,
    pub(crate) why: Vec<String>,
}

/// One image in one channel for one architecture.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlaceStatus {
    /// The repository, by its name in imgforge.yaml.
    pub repository: String,
    pub(crate) channel: String,
    /// The architecture.
    pub arch: String,
    pub(crate) revision: u64,
    /// Its `IMAGE_VERSION`.
    pub version: String,
    /// Since when the channel has it, seconds since 1970.
    pub since: u64,
    /// When the revision was made, seconds since 1970.
    pub created: u64,
    /// The commit that it was published from.
    pub commit: Option<String>,
    /// Bytes to download.
    pub size: u64,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// Why nothing may be published there; none where it may.
    pub frozen: Option<String>,
    /// Whether it is what the recipe makes now.
    pub current: bool,
    /// Whether what the recipe makes now is what a share of the machines gets first.
    pub on_trial: bool,
    /// The fixes that waited for it when `imgforge updates` looked last; none where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<WaitingFixes>,
    /// What the rules of the channel say of it, and how many fixes wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl StatusReport {
    /// Whether anything drifted, or a key has expired.
    pub fn drifted(&self) -> bool {
        let images = self.images.iter().any(|image| !image.drift.is_empty());
        let refused = |index: &IndexStatus| index.refused(self.at).is_some();
        images
            || self.keys.iter().any(|key| key.expired(self.at))
            || self.indexes.iter().any(refused)
    }
}

/// Looks at these images, or at all and everything that is published; `channel` leaves the others out.
///
/// # Errors
/// When imgforge.yaml or a repository cannot be read.
pub fn report(session: &Session, names: &[String], channel: Option<&str>) -> Result<StatusReport> {
    let repositories = repositories(session)?;
    let all = names.is_empty();
    let recipes = session.repo.names()?;
    let named = |name| session.repo.named(name);
    let wanted = match all {
        true => recipes.clone(),
        false => names.iter().flat_map(|name| named(name)).collect(),
    };
    for name in wanted.iter().filter(|name| !recipes.contains(name)) {
        // What is published, and nothing makes any more, is asked about by its name, too.
        let published = |state: &State| state.images.contains_key(whole::name(name));
        if !repositories.values().any(published) {
            session.repo.know(name)?;
        }
    }
    let look = |name: &String| -> Result<Option<ImageStatus>> {
        let recipe = recipes.contains(name);
        let status = one(session, &repositories, name, recipe, channel)?;
        if !all && !recipe && status.places.is_empty() {
            not_in(&repositories, name, channel)?;
            session.repo.know(name)?;
        }
        // An image that has left every channel needs no recipe.
        Ok((recipe || !status.places.is_empty()).then_some(status))
    };
    let images = wanted.iter().filter_map(|name| look(name).transpose());
    let mut images: Vec<ImageStatus> = images.collect::<Result<_>>()?;
    if all {
        let published = repositories
            .values()
            .flat_map(|state| state.images.values());
        let orphans: BTreeSet<String> = published.flat_map(|it| orphans(it, &images)).collect();
        for name in &orphans {
            images.extend(look(name)?);
        }
    }
    fixes::add(session, &mut images);
    if let Some(channel) = channel
        && images
            .iter()
            .all(|image| image.places.is_empty() && image.drift.is_empty())
    {
        known(session, &repositories, channel)?;
    }
    let (keys, indexes) = signed::look(session, &repositories)?;
    let source = git::source(session.repo.root())?;
    Ok(StatusReport {
        at: now(),
        commit: source.map(|source| {
            format!(
                "{}{}",
                source.commit,
                if source.dirty { "-dirty" } else { "" }
            )
        }),
        images,
        keys,
        indexes,
        store: session
            .store
            .all()
            .iter()
            .map(crate::store::Entry::allocated)
            .sum(),
    })
}

pub(super) type Repositories = BTreeMap<String, State>;

/// The repositories that have a directory here and were published to.
pub(super) fn repositories(session: &Session) -> Result<Repositories> {
    let mut all = Repositories::new();
    for (name, place) in &session.config.repositories {
        let Some(path) = place
            .path
            .as_ref()
            .map(|path| session.repo.root().join(path))
        else {
            continue;
        };
        let identity = path.join(".imgforge/repository.json");
        if identity
            .try_exists()
            .doing(|| format!("reading {}", identity.display()))?
        {
            all.insert(name.clone(), State::read(&path)?);
        }
    }
    Ok(all)
}

/// What of a published image no recipe makes: all of it, or architectures that its recipe does not
/// make.
fn orphans(image: &Image, made: &[ImageStatus]) -> Vec<String> {
    let name = &image.name;
    let made = made.iter().filter(|one| whole::name(&one.image) == name);
    let made: Vec<&ImageStatus> = made.collect();
    if made.is_empty() {
        return vec![name.clone()];
    }
    // A wrong recipe may make any.
    let makes = |arch: &String| {
        let id = format!("{name}:{arch}");
        made.iter().any(|one| match one.arch {
            Some(made) => made == arch,
            None => one.image == *name || one.image == id,
        })
    };
    let archs = image
        .channels
        .values()
        .flat_map(|place| place.current.keys());
    let dropped = archs.filter(|arch| !makes(arch));
    dropped.map(|arch| format!("{name}:{arch}")).collect()
}

fn one(
    session: &Session,
    repositories: &Repositories,
    name: &str,
    recipe: bool,
    channel: Option<&str>,
) -> Result<ImageStatus> {
    let mut drift = Vec::new();
    let mut unplanned = None;
    let plan = match recipe {
        false => None,
        true => match pipeline::plan(session, &Options::default(), name, Mode::Look) {
            Ok(plan) => Some(plan),
            // A wrong recipe must not hide what is known of the others, nor must a damaged note.
            Err(error) if matches!(error.kind(), Kind::Usage | Kind::Host) => {
                let why = match error.kind() {
                    Kind::Usage => "its recipe is wrong",
                    _ => "it cannot be planned",
                };
                drift.push(format!("{why}: {}", error.message()));
                let own = error.hint_text().map(str::to_owned);
                unplanned = Some(match error.kind() {
                    Kind::Usage => format!(
                        "`imgforge validate {}` shows what is wrong",
                        whole::name(name)
                    ),
                    _ => own.unwrap_or_else(|| format!("`imgforge plan {name}` shows why")),
                });
                None
            }
            Err(error) => return Err(error),
        },
    };
    let version = plan.as_ref().map(|plan| plan.version().to_owned());
    let arch = plan
        .as_ref()
        .map(|plan| plan.resolved.recipe.machine.arch.as_str());
    let mut places = Vec::new();
    for (repository, state) in repositories {
        let Some(image) = state.images.get(whole::name(name)) else {
            continue;
        };
        let configured = session.config.repositories.get(repository);
        for (channel, placement) in &image.channels {
            let rules = configured.and_then(|place| place.channels.get(channel));
            places.extend(of_placement(
                repository,
                state,
                image,
                channel,
                placement,
                rules.cloned().unwrap_or_default(),
                version.as_deref(),
            ));
        }
    }
    places.retain(|place: &PlaceStatus| channel.is_none_or(|channel| place.channel == channel));
    if let Some(arch) = arch.or(name.split_once(':').map(|(_, arch)| arch)) {
        places.retain(|place| place.arch == arch);
    }
    if !recipe && !places.is_empty() {
        drift.push("it is published, and no recipe makes it".into());
    }
    if let Some(plan) = &plan {
        drift.extend(drifted(session, plan, &places, channel));
    }
    Ok(ImageStatus {
        image: name.to_owned(),
        rebuild: plan.as_ref().map(rebuild).unwrap_or_default(),
        fetch: plan.as_ref().map(fetch).unwrap_or_default(),
        version,
        places,
        drift,
        arch,
        made: recipe,
        unplanned,
        record: Record::read(&session.store, name).unwrap_or_else(|cause| {
            let text = format!("what builds of {name} did on this host cannot be read: {cause}");
            session.ui.warning(text);
            Record::default()
        }),
    })
}

fn rebuild(plan: &Plan) -> Vec<Rebuild> {
    let runs = plan.all().into_iter().filter(|planned| !planned.cached);
    runs.map(|planned| Rebuild {
        stage: called(plan, planned),
        why: planned.why.clone(),
    })
    .collect()
}

fn fetch(plan: &Plan) -> Vec<String> {
    let fetched = plan.all().into_iter().filter(|planned| planned.remote);
    fetched.map(|planned| called(plan, planned)).collect()
}

/// A stage, with its image where it is another one.
fn called(plan: &Plan, planned: &Planned) -> String {
    match planned.image == plan.image() {
        true => planned.label.clone(),
        false => format!("{} {}", planned.image, planned.label),
    }
}

/// A channel that is frozen, or tries the revision first, is behind on purpose.
fn drifted(
    session: &Session,
    plan: &Plan,
    places: &[PlaceStatus],
    only: Option<&str>,
) -> Vec<String> {
    let mut drift: Vec<String> = places
        .iter()
        .filter(|place| !place.current && !place.on_trial && place.frozen.is_none())
        .map(|place| {
            format!(
                "{} has {} as revision {}, and the recipe makes {}",
                place.channel,
                place.version,
                place.revision,
                plan.version()
            )
        })
        .collect();
    let publish = plan.resolved.recipe.publish.as_ref();
    let asked = publish.and_then(|publish| publish.channel.clone());
    let wanted = asked.or_else(|| {
        let place = place::find(&session.config, session.repo.root(), None).ok()?;
        publish.map(|_| place.default_channel().to_owned())
    });
    match wanted {
        Some(channel) if only.is_some_and(|only| only != channel) => {}
        Some(channel) if !places.iter().any(|place| place.channel == channel) => {
            drift.push(format!(
                "{channel}, to which its recipe publishes, does not have it"
            ));
        }
        None if only.is_none() && places.is_empty() && plan.has_work() => {
            drift.push("it is not built".into())
        }
        _ => {}
    }
    drift
}
