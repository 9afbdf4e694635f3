//! `imgforge build`.

mod again;
mod updated;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use super::{App, out, place, recipes, session};
use crate::address::OciAddress;
use crate::engine::{self, Queue, Run, Wishes};
use crate::error::{Error, Result};
use crate::host::memory;
use crate::http;
use crate::pipeline::graph::{self, Outcome, Room};
use crate::pipeline::whole::{self, Wholes};
use crate::pipeline::{self, Options, Session};
use crate::registry;
use crate::stage::StageId;
use crate::targets;
use crate::units::Size;

/// The arguments of `imgforge build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Images to build
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Builds every image; one that fails does not stop the others
    #[arg(long)]
    all: bool,
    /// Builds those of the images for which fixes wait, and all that is built on them
    #[arg(long, conflicts_with_all = ["from", "on", "offline", "refresh", "locked"])]
    updated: bool,
    /// Makes STAGE and what follows again, under new keys with which later builds go on
    #[arg(long, value_name = "STAGE")]
    from: Option<StageId>,
    /// Ends after STAGE
    #[arg(long, value_name = "STAGE")]
    until: Option<StageId>,
    /// Publishes to CHANNEL, by default the recipe's or the repository's
    #[arg(long, value_name = "CHANNEL", num_args = 0..=1, conflicts_with = "until", value_parser = place::channel)]
    publish: Option<Option<String>>,
    /// Makes only this of the recipe's targets (can be repeated)
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Fetches "latest packages" again
    #[arg(long)]
    refresh: bool,
    /// What happens to the disk of a failed stage
    #[arg(long, value_name = "WHAT", default_value = "clean")]
    on_error: OnError,
    /// Uses only what the store has, and names what is missing
    #[arg(long)]
    offline: bool,
    /// Fetches only what NAME.lock beside the recipe names, and fails where a stage asks for anything else
    #[arg(long, conflicts_with_all = ["refresh", "from"])]
    locked: bool,
    /// Writes NAME.lock beside the recipe when the build has ended: see `imgforge lock`
    #[arg(long, conflicts_with_all = ["on", "locked"])]
    lock: bool,
    /// Asks the shared store at ADDRESS instead of the one of imgforge.yaml
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["no_remote", "offline", "on"])]
    remote: Option<OciAddress>,
    /// Asks no shared store
    #[arg(long, conflicts_with = "on")]
    no_remote: bool,
    /// Gives root's virt-install the recipe's `extra-args`: any disk of the host, any option of QEMU
    #[arg(long)]
    allow_extra_args: bool,
    /// Sets a variable (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
    /// Copies the artifacts to DIR
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Puts containers (targets `docker`, `kubevirt`) into a registry, below oci://HOST/PREFIX
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["on", "until", "offline"])]
    push: Option<String>,
    /// Builds on other machines, by ENGINE; see docs/many-machines.md
    #[arg(long, value_name = "ENGINE", value_parser = engines(), conflicts_with = "refresh")]
    on: Option<String>,
    /// Ends when the engine has the jobs: `imgforge jobs` comes back
    #[arg(long, requires = "on")]
    detach: bool,
    /// The state directory of who planned this build and reads its logs, which is not this machine's own
    #[arg(long, value_name = "DIR", hide = true, conflicts_with_all = ["on", "refresh", "from"])]
    caller_state: Option<PathBuf>,
}

pub(super) fn engines() -> PossibleValuesParser {
    let names: Vec<&str> = engine::QUEUES.iter().map(|queue| queue.name).collect();
    names.into()
}

/// The values of `--on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// It stays, for `imgforge shell`
    Keep,
    /// It is removed
    Clean,
}

impl Build {
    /// Runs the verb.
    ///
    /// # Errors
    /// As the stages; with `--all` or several names after every image was tried.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let mut session = session::open(app)?;
        if let Some(state) = &self.caller_state {
            session.store = session.store.clone().for_caller(state);
        }
        if !self.no_remote && !self.offline {
            session::share(&mut session, self.remote.as_ref())?;
        }
        if self.locked {
            session.host.isolate();
        }
        if self.locked && self.offline {
            http::ask_nobody();
        }
        let names = session::names(&session, &self.names, self.all)?;
        let (rebuild, unjudged) = self.chosen(app, &session, names)?;
        if rebuild.images.is_empty() {
            return updated::judged(&unjudged);
        }
        let names = rebuild.images.clone();
        let options = Options {
            from: self.from,
            until: self.until,
            targets: self.targets.clone(),
            refresh: self.refresh,
            keep: self.on_error == OnError::Keep,
            offline: self.offline,
            locked: self.locked,
            extra_args: self.allow_extra_args,
            vars: self.vars.clone(),
            publish: self.publish.clone(),
            output: self.output.clone(),
            push: self.push.clone(),
            again: self.again(&app.globals),
        };
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from > until
        {
            return Err(
                Error::usage(format!("--from {from} begins after --until {until} ends"))
                    .hint("leave one of them out"),
            );
        }
        named(&self.targets)?;
        if self.publish.is_some() {
            whole::refuse_parts(&session.repo, &names, &self.vars)?;
        }
        self.push
            .as_deref()
            .map_or(Ok(()), registry::check_prefix)?;
        if self.lock {
            super::lock::ready(&session, &options, &names)?;
        }
        if !self.all {
            asked_for(&session, &options, &names)?;
        }
        if let Some(to) = &self.push {
            takes_names(&session, &options, &names, to)?;
        }
        let queue = engine::QUEUES
            .iter()
            .find(|queue| Some(queue.name) == self.on.as_deref());
        let failed = match queue {
            Some(queue) => match self.by(app, session, queue, (&options, &names))? {
                Some(failed) => failed,
                None => return Ok(()),
            },
            None => {
                let failed = each(app, &session, &options, &names, &rebuild.from)?;
                for why in rebuild.lacking(&session, &self.vars) {
                    app.ui.warning(why);
                }
                if self.lock {
                    let has_failed =
                        |name: &str| failed.iter().any(|one| one.split(' ').next() == Some(name));
                    let names = names.iter().map(String::as_str);
                    let made: Vec<&str> = names.filter(|name| !has_failed(name)).collect();
                    super::lock::write(&session, &options, &made)?;
                }
                failed
            }
        };
        end(app, &failed, names.len(), self.from.is_some())?;
        updated::judged(&unjudged)
    }

    /// Gives the jobs to an engine and stays with them; nothing comes back where nobody stays.
    fn by(
        &self,
        app: &App,
        session: Session,
        queue: &'static Queue,
        (options, names): (&Options, &[String]),
    ) -> Result<Option<Vec<String>>> {
        let wishes = Wishes {
            globals: app.globals.of_jobs()?,
            most: app.globals.most()?.map(NonZeroUsize::get),
        };
        let (run, broken) = engine::submit(&session, queue, (options, names), &wishes)?;
        let broken: Vec<(String, Outcome)> = broken
            .into_iter()
            .map(|(name, error)| {
                if names.len() > 1 {
                    app.ui.warning(error.render().trim_end().to_owned());
                }
                (name, Outcome::Failed(error))
            })
            .collect();
        if !run.jobs.is_empty() {
            let (many, engine) = (run.jobs.len(), &run.engine);
            app.ui.notice(format!(
                "{engine} has {many} jobs: `imgforge jobs {}`",
                run.id
            ));
        }
        if self.detach && !run.jobs.is_empty() {
            app.ui.close();
            out::print(&format!("{}\n", run.id))?;
            let failed = failed(broken);
            return match failed.as_slice() {
                [] => Ok(None),
                _ => Ok(Some(failed)),
            };
        }
        stay(session, &run, true, broken).map(Some)
    }
}

/// Stays with a build to its end; the images that failed, of which `broken` had no job.
pub(super) fn stay(
    session: Session,
    run: &Run,
    own: bool,
    broken: Vec<(String, Outcome)>,
) -> Result<Vec<String>> {
    let is_broken = |name: &String| broken.iter().any(|(other, _)| other == name);
    let mut run = run.clone();
    run.images.retain(|name| !is_broken(name));
    let mut ended = engine::attend(session, &run, own)?;
    ended.extend(broken);
    match ended.as_slice() {
        [(_, Outcome::Failed(error))] => Err(error.clone()),
        _ => Ok(failed(ended)),
    }
}

/// Prints what was made, and says what was not.
pub(super) fn end(app: &App, failed: &[String], all: usize, from: bool) -> Result<()> {
    app.ui.close();
    out::print(&app.summary.render())?;
    match failed {
        [] => Ok(()),
        failed => Err(
            Error::stage(format!("{} of {all} images failed", failed.len()))
                .evidence(failed.iter().cloned())
                .hint(match from {
                    false => "the others are finished; the same command builds the failed ones",
                    true => {
                        "the others are finished; the same command without --from builds the \
                         failed ones"
                    }
                }),
        ),
    }
}

/// The names of what failed, with the reason where that is another image.
fn failed(ended: Vec<(String, Outcome)>) -> Vec<String> {
    let failed = ended
        .into_iter()
        .filter_map(|(name, outcome)| match outcome {
            Outcome::Done => None,
            Outcome::Failed(_) => Some(name),
            Outcome::Skipped(parent) => Some(format!("{name} (it builds on {parent})")),
        });
    failed.collect()
}

/// A target that none of the named recipes asks for is told before anything runs, too.
fn asked_for(session: &Session, options: &Options, names: &[String]) -> Result<()> {
    for name in names {
        let resolved = session.repo.load(name, &options.vars)?;
        let wanted = resolved.recipe.targets.wanted();
        let has: Vec<&str> = wanted.iter().map(|target| target.name).collect();
        if let Some(lacks) = options.targets.iter().find(|t| !has.contains(&t.as_str())) {
            let said = format!("the recipe {name} does not ask for the target `{lacks}`");
            return Err(Error::usage(said).hint(match has.as_slice() {
                [] => format!("write `targets: {{{lacks}: {{}}}}`"),
                has => format!("it asks for {}", has.join(", ")),
            }));
        }
        let made = |target: &&str| {
            options.targets.is_empty() || options.targets.iter().any(|t| t == target)
        };
        let is_pushed = |target: &&str| targets::CONTAINERS.contains(target) && made(target);
        if options.push.is_some() && !has.iter().any(is_pushed) {
            return Err(Error::usage(format!("{name} has nothing for a registry"))
                .cause("only containers go there by --push")
                .hint("write `targets: {docker: {}}` or `targets: {kubevirt: {}}`; `imgforge repo copy oci://HOST/PREFIX` puts published images there"));
        }
    }
    Ok(())
}

/// A container's name that no registry takes is told before anything runs.
fn takes_names(session: &Session, options: &Options, names: &[String], to: &str) -> Result<()> {
    for name in names {
        let recipe = session.repo.load(name, &options.vars)?.recipe;
        for refused in targets::refused_names(&recipe.targets, &recipe.name) {
            if options.targets.is_empty() || options.targets.iter().any(|t| t == refused.target) {
                targets::place(&refused.name, to)
                    .map_err(|error| error.within(format!("{name} cannot be pushed")))?;
            }
        }
    }
    Ok(())
}

/// A target that does not exist is told before anything runs.
fn named(targets: &[String]) -> Result<()> {
    match targets.iter().find(|name| targets::find(name).is_none()) {
        Some(name) => Err(targets::unknown(name)),
        None => Ok(()),
    }
}

/// A single image's error is the command's; of several, each is told and counted, and what builds
/// on a failed one is left out.
fn each(
    app: &App,
    session: &Session,
    options: &Options,
    names: &[String],
    from: &BTreeMap<String, StageId>,
) -> Result<Vec<String>> {
    let wholes = Wholes::new(names);
    let own = |name: &str| Options {
        from: from.get(name).copied().or(options.from),
        ..options.clone()
    };
    if let [name] = names {
        return pipeline::build(session, &own(name), name, &wholes).map(|()| vec![]);
    }
    let nodes = pipeline::nodes(session, options, names);
    let room = Room {
        memory: memory::free().unwrap_or(Size::bytes(0)),
        images: app.globals.most()?.map_or(nodes.len(), NonZeroUsize::get),
    };
    let work = |name: &str| pipeline::build(session, &own(name), name, &wholes);
    let tell = |error: &Error| app.ui.warning(error.render().trim_end().to_owned());
    let results = graph::run_telling(&nodes, room, work, tell)?;
    for name in wholes.incomplete() {
        app.ui.warning(format!(
            "`{name}` was not handed over: not all its architectures are built"
        ));
    }
    Ok(failed(results))
}
