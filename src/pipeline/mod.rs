//! From a recipe to a published image: what runs, in which order, and what is kept.

pub mod advised;
pub mod again;
pub mod clean;
pub mod graph;
mod guard;
pub mod kit;
pub mod lock;
pub mod log;
pub mod metrics;
pub mod pins;
pub mod plan;
pub mod rebuild;
pub mod records;
mod remote;
mod requirements;
mod run;
pub mod shell;
pub mod signed;
pub mod status;
pub mod updated;
pub mod updates;
pub mod whole;

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::hypervisor::Host;
use crate::pipeline::again::Again;
use crate::pipeline::pins::Pins;
use crate::pipeline::plan::Planner;
use crate::pipeline::run::{Run, Stop};
use crate::pipeline::whole::{Built, Results, Wholes};
use crate::recipe::types::Base;
use crate::recipe::{Config, Repo};
use crate::stage::plan::Plan;
use crate::stage::seal::{self, Sealed};
use crate::stage::{StageId, check, install, pack};
use crate::store::digests::Digests;
use crate::store::{Layer, Store, epoch};
use crate::ui::Ui;
use crate::units::Size;

/// The pipeline: each stage from the store, or made of what the ones before it left.
fn stages(run: &Run<'_>) -> Result<Results, Stop> {
    let sealed = disk(run)?;
    let checked = run.on(&sealed, |cx| check::run(cx, &sealed))?;
    let packed = run.on(&sealed, |cx| pack::run(cx, &sealed))?;
    let artifacts = run.finish(&sealed, &packed)?;
    Ok(Results {
        sealed,
        checked,
        packed,
        artifacts,
    })
}

/// Its stages that make disks; an image on another recipe's begins with that one's.
fn disk(run: &Run<'_>) -> Result<Layer<Sealed>, Stop> {
    let installed = match run.base() {
        Base::Layer(plan) => disk(&run.below(plan))?.convert(),
        Base::Published(pin) => run.stage(|cx| install::pulled(cx, pin))?,
        Base::Install(method) => run.stage(|cx| install::run(cx, method))?,
    };
    let configured = run.configure(installed)?;
    run.stage(|cx| seal::run(cx, &configured))
}

/// What every command of the pipeline works with.
#[derive(Debug)]
pub struct Session {
    /// The recipe repository.
    pub repo: Repo,
    /// Its imgforge.yaml.
    pub config: Config,
    /// Where finished stages are.
    pub store: Store,
    /// The memory of file digests.
    pub digests: Digests,
    /// Who draws what happens.
    pub ui: Ui,
    /// How this machine runs guests.
    pub host: Host,
    /// The published images that recipes build on.
    pub pins: Pins,
}

/// What `build` was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// This stage and later ones run again.
    pub from: Option<StageId>,
    /// Later stages are left out.
    pub until: Option<StageId>,
    /// Only these of the recipe's targets; none named means all.
    pub targets: Vec<String>,
    /// "Latest packages" are fetched anew.
    pub refresh: bool,
    /// A failed stage's disk is kept for `imgforge shell`.
    pub keep: bool,
    /// Only what the store has is used.
    pub offline: bool,
    /// Only what the lock beside the recipe names is fetched.
    pub locked: bool,
    /// Also root's virt-install gets what a recipe adds to its command line.
    pub extra_args: bool,
    /// Variables of the command line.
    pub vars: Vec<(String, String)>,
    /// Publish to this channel; the inner `None` is the recipe's or the repository's own.
    pub publish: Option<Option<String>>,
    /// Artifacts are copied here.
    pub output: Option<PathBuf>,
    /// Containers are put into a registry, below `oci://HOST[/PREFIX]`.
    pub push: Option<String>,
    /// The command line that goes on after a failed stage.
    pub again: Again,
}

/// Plans one image; nothing runs.
///
/// # Errors
/// When the recipe is wrong or a file that it names cannot be read.
pub fn plan(session: &Session, options: &Options, name: &str, epochs: epoch::Mode) -> Result<Plan> {
    let Session {
        repo,
        config,
        store,
        digests,
        ..
    } = session;
    let Options {
        from,
        until,
        vars,
        offline,
        targets,
        locked,
        ..
    } = options;
    Planner {
        repo,
        config,
        store,
        digests,
        vars,
        epochs,
        pins: &|recipe, image, lock| {
            let locked = lock.and_then(|lock| pins::of_lock(lock, image).transpose());
            locked.unwrap_or_else(|| pins::find(session, recipe, image, epochs, *offline))
        },
        from: *from,
        until: *until,
        targets,
        locked: *locked,
    }
    .plan(name)
}

/// The graph of several images. A recipe that cannot be read is a node of its own: its build says
/// what is wrong. What is published waits for all architectures of what it builds on, which are
/// published together.
pub fn nodes(session: &Session, options: &Options, names: &[String]) -> Vec<graph::Node> {
    let channel = options.publish.as_ref();
    let published = channel
        .map(|channel| updated::Published::by(session, &options.vars, channel.as_deref(), names));
    let node = |name: &String| {
        let resolved = session.repo.load(name, &options.vars).ok();
        let recipe = resolved.as_ref().map(|resolved| &resolved.recipe);
        let parent = resolved.as_ref().and_then(|resolved| match &resolved.base {
            Base::Layer(parent) => Some(parent.clone()),
            Base::Published(image) => {
                let published = published.as_ref()?;
                published.recipe_of(image, resolved.recipe.machine.arch)
            }
            Base::Install(_) => None,
        });
        let parent = parent.as_ref();
        let is_before = |image: &&String| match options.publish {
            Some(_) => parent.is_some_and(|parent| whole::name(parent) == whole::name(image)),
            None => parent == Some(*image),
        };
        graph::Node {
            name: name.clone(),
            parents: names.iter().filter(is_before).cloned().collect(),
            memory: memory(recipe.map_or(Size::bytes(0), |recipe| recipe.machine.memory)),
        }
    };
    names.iter().map(node).collect()
}

/// What the build of an image needs at most, whose guest has so much: the gate boots two clones at
/// once; the rest is for QEMU and libguestfs.
pub fn memory(guest: Size) -> Size {
    Size::bytes(2 * guest.as_bytes() + (1 << 30))
}

/// Builds one image. Finished stages are never redone; each stage commits its result on its own.
/// What was made is handed over with the last architecture of its name among `wholes`.
///
/// # Errors
/// Of the first stage that fails; what was finished before stays finished.
pub fn build(session: &Session, options: &Options, name: &str, wholes: &Wholes) -> Result<()> {
    let built = build_stages(session, options, name).and_then(|built| {
        let whole = built.and_then(|built| wholes.complete(built));
        whole.map_or(Ok(()), |whole| whole::hand_over(session, options, &whole))
    });
    match &built {
        Ok(()) => records::ended(&session.store, name, None),
        // A wrong recipe, a host that is not ready, Ctrl-C: no build has failed.
        Err(error) if matches!(error.kind(), Kind::Stage | Kind::Gate | Kind::Internal) => {
            records::ended(&session.store, name, Some(error.message()));
        }
        Err(_) => {}
    }
    built
}

fn build_stages(session: &Session, options: &Options, name: &str) -> Result<Option<Built>> {
    let epochs = if options.refresh {
        epoch::Mode::Renew
    } else {
        epoch::Mode::Keep
    };
    let mut plan = self::plan(session, options, name, epochs)?;
    if requirements::lock(session, options, &plan)? {
        plan = self::plan(session, options, name, epochs)?;
    }
    // Each that does not come is missing in the next plan.
    while !remote::bring(session, &plan)? {
        plan = self::plan(session, options, name, epochs)?;
    }
    lock::ready(session, options, &plan)?;
    let (image, lock) = (plan.image().to_owned(), plan.lock.clone());
    let seal = plan.stages.iter().find(|one| one.stage == StageId::Seal);
    let seal = seal.map(|planned| planned.key.clone());
    let built = run::carry_out(session, options, plan, stages)?;
    // Also where `--until` ended the build.
    if let (Some(lock), Some(sealed)) = (lock, seal.and_then(|key| session.store.entry(&key))) {
        lock::compare(&lock, &image, &sealed)?;
    }
    Ok(built)
}

/// Publishes what the last build of an image made, in all its architectures, and builds nothing.
///
/// # Errors
/// When the store has no finished build of the recipe as it is now, or as `publish`.
pub fn publish(session: &Session, channel: Option<&str>, name: &str) -> Result<()> {
    let options = Options {
        offline: true,
        publish: Some(channel.map(str::to_owned)),
        ..Options::default()
    };
    finished(session, &options, &session.repo.named(name))
}

/// Hands over what builds of these images have made, published in one transaction, and builds nothing.
///
/// # Errors
/// As [`publish`].
pub fn finished(session: &Session, options: &Options, images: &[String]) -> Result<()> {
    let mut built = vec![];
    for image in images {
        let last = || {
            let finished = |plan: &Plan| !plan.has_work();
            lock::last(session, options, image, epoch::Mode::Last, finished)
        };
        let mut plan = last()?;
        while !remote::bring(session, &plan)? {
            plan = last()?;
        }
        if plan.has_work() {
            let name = whole::name(image);
            return Err(Error::usage(format!(
                "the store has no finished build of `{image}` as its recipe is now"
            ))
            .hint(format!(
                "`imgforge plan {image} --explain` says what is missing, `imgforge build {name} \
                 --publish` makes it"
            )));
        }
        let seal = plan.stages.iter().find(|one| one.stage == StageId::Seal);
        let sealed = seal.and_then(|one| session.store.entry(&one.key));
        if let (Some(lock), Some(sealed)) = (&plan.lock, sealed) {
            lock::compare(lock, image, &sealed)?;
        }
        built.push(plan);
    }
    let built = built
        .into_iter()
        .map(|plan| run::carry_out(session, options, plan, stages));
    let built = built.collect::<Result<Vec<_>>>()?;
    let built: Vec<Built> = built.into_iter().flatten().collect();
    whole::hand_over(session, options, &built)
}

/// Asks before the hours of a build whether its images can be published; without `publish` nobody asks.
///
/// # Errors
/// As [`publish::ready`](crate::stage::publish::ready). What is wrong with a recipe, its build says.
pub fn may_publish(session: &Session, options: &Options, images: &[String]) -> Result<()> {
    let Some(channel) = &options.publish else {
        return Ok(());
    };
    let plans = images
        .iter()
        .filter_map(|image| plan(session, options, image, epoch::Mode::Look).ok());
    let (config, root) = (&session.config, session.repo.root());
    let mut plans = plans.into_iter();
    plans.try_for_each(|plan| crate::stage::publish::ready(config, &plan, root, channel.as_deref()))
}
