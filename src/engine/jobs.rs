//! The jobs of a build: one an image of the graph, for whatever runs them. docs/many-machines.md is the
//! documentation of their JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Key;
use crate::error::{Error, Result};
use crate::machine::Arch;
use crate::pipeline::{self, Options, Session};
use crate::stage::StageId;
use crate::stage::plan::{Plan, Planned};
use crate::store::epoch::Mode;

/// Version of the JSON; grows when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// The build of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// The image, of a gate that is a job of its own with a word more.
    pub name: String,
    /// The image: NAME, or of several architectures `NAME:ARCH`.
    pub image: String,
    /// What tells its work from other work: made of the keys of all its stages.
    pub key: Key,
    /// The jobs that have to be done before.
    pub parents: Vec<String>,
    /// The architecture of the image.
    pub arch: Arch,
    /// Memory that it needs at most, in MiB.
    pub memory: u64,
    /// Processors that its guest has.
    pub processors: u32,
    /// Seconds after which it may be ended.
    pub time: u64,
    /// Its last stage; none is left out without.
    pub until: Option<StageId>,
    /// Whether the store has all its results.
    pub done: bool,
    /// The command line, for a checkout of the recipe repository.
    pub command: Vec<String>,
}

/// What the name of a gate's job ends with.
const GATE: &str = " gate";

impl Job {
    /// Whether it goes on where another job has sealed the image.
    pub fn is_gate(&self) -> bool {
        self.name != self.image
    }
}

/// What `plan --jobs json` prints.
#[derive(Debug, Serialize)]
pub struct List<'a> {
    version: u32,
    jobs: &'a [Job],
}

impl<'a> List<'a> {
    /// The jobs as the format has them.
    pub fn new(jobs: &'a [Job]) -> Self {
        List {
            version: VERSION,
            jobs,
        }
    }
}

/// The jobs that build these images, a parent before its children: what they build on is among them,
/// up to its sealed disk where nobody asks for more.
///
/// # Errors
/// When a recipe is wrong.
pub fn list(
    session: &Session,
    options: &Options,
    names: &[String],
    epochs: Mode,
) -> Result<Vec<Job>> {
    let (jobs, broken) = list_right(session, options, names, (epochs, false));
    let first = broken.into_iter().next();
    first.map_or(Ok(jobs), |(_, error)| Err(error))
}

/// An image without a plan, and what is wrong with it.
pub type Broken = (String, Error);

/// As [`list`], of the images whose recipes are right; with `gates`, gate and what follows are jobs of
/// their own.
pub fn list_right(
    session: &Session,
    options: &Options,
    names: &[String],
    (epochs, gates): (Mode, bool),
) -> (Vec<Job>, Vec<Broken>) {
    let (mut plans, mut broken) = (BTreeMap::new(), vec![]);
    for name in names {
        match pipeline::plan(session, options, name, epochs) {
            Ok(plan) => drop(plans.insert(name.clone(), plan)),
            Err(error) => broken.push((name.clone(), error)),
        }
    }
    let mut jobs = Jobs {
        session,
        options,
        gates,
        plans,
        done: vec![],
    };
    names.iter().for_each(|name| jobs.add_named(name));
    (jobs.done, broken)
}

struct Jobs<'a> {
    session: &'a Session,
    options: &'a Options,
    gates: bool,
    plans: BTreeMap<String, Plan>,
    done: Vec<Job>,
}

impl Jobs<'_> {
    fn add_named(&mut self, name: &str) {
        let Some(plan) = self.plans.remove(name) else {
            return;
        };
        self.add(&plan, self.options.clone());
    }

    fn add(&mut self, plan: &Plan, options: Options) {
        // What is below is bound to this image's lock, and not to one of its own.
        let below = plan.below().filter(|_| !options.locked);
        if let Some(below) = below {
            self.add_below(below);
        }
        let below = below.map(|below| self.last(below.image()));
        let parents: Vec<String> = below.into_iter().collect();
        let image = plan.image();
        if !self.gates || options.until.is_some_and(|until| until <= StageId::Seal) {
            return self.push(plan, image.to_owned(), parents, &options);
        }
        let sealing = Options {
            until: Some(StageId::Seal),
            from: options.from.filter(|from| *from <= StageId::Seal),
            targets: vec![],
            ..options.clone()
        };
        self.push(plan, image.to_owned(), parents, &sealing);
        let rest = Options {
            from: options.from.filter(|from| *from > StageId::Seal),
            ..options
        };
        self.push(
            plan,
            format!("{image}{GATE}"),
            vec![image.to_owned()],
            &rest,
        );
    }

    /// The job that ends an image.
    fn last(&self, image: &str) -> String {
        let jobs = self.done.iter().rev();
        let job = jobs
            .filter(|job| job.image == image)
            .map(|job| job.name.clone());
        job.into_iter().next().unwrap_or_else(|| image.to_owned())
    }

    fn push(&mut self, plan: &Plan, name: String, parents: Vec<String>, options: &Options) {
        let machine = &plan.resolved.recipe.machine;
        let command = ["imgforge", "build", plan.image()].map(str::to_owned);
        let within = |stage: &&Planned| {
            stage.image != plan.image() || options.until.is_none_or(|until| stage.stage <= until)
        };
        let stages: Vec<&Planned> = plan.all().into_iter().filter(within).collect();
        self.done.push(Job {
            name,
            image: plan.image().to_owned(),
            key: key(&stages),
            parents,
            arch: machine.arch,
            memory: pipeline::memory(machine.memory).as_bytes() >> 20,
            processors: machine.cpus,
            time: self.session.config.engine.time().as_seconds(),
            until: options.until,
            done: stages.iter().all(|stage| stage.cached),
            command: command.into_iter().chain(words(options)).collect(),
        });
    }

    fn add_below(&mut self, plan: &Plan) {
        if self.done.iter().any(|job| job.image == plan.image()) {
            return;
        }
        if self.plans.contains_key(plan.image()) {
            return self.add_named(plan.image());
        }
        let Options {
            keep,
            offline,
            extra_args,
            vars,
            ..
        } = self.options.clone();
        self.add(
            plan,
            Options {
                until: Some(StageId::Seal),
                keep,
                offline,
                extra_args,
                vars,
                ..Options::default()
            },
        );
    }
}

/// Equal work has an equal key, whoever asks for it.
pub(super) fn key(stages: &[&Planned]) -> Key {
    let keys: Vec<&str> = stages.iter().map(|stage| stage.key.as_str()).collect();
    Key::of(keys.join("\n").as_bytes())
}

/// The options of `imgforge build` that make what these do. Publication and copies are the caller's.
fn words(options: &Options) -> Vec<String> {
    let stage = |name: &str, stage: Option<StageId>| {
        stage.map(|stage| [name.to_owned(), stage.name().to_owned()])
    };
    let value = |name: &str, value: String| [name.to_owned(), value];
    let stages = [
        stage("--from", options.from),
        stage("--until", options.until),
    ];
    let targets = options.targets.iter();
    let vars = options.vars.iter();
    let values = stages
        .into_iter()
        .flatten()
        .chain(targets.map(|target| value("--target", target.clone())))
        .chain(vars.map(|(name, text)| value("--var", format!("{name}={text}"))))
        .chain(options.keep.then(|| value("--on-error", "keep".into())));
    let flags = [
        options.offline.then_some("--offline"),
        options.locked.then_some("--locked"),
        options.extra_args.then_some("--allow-extra-args"),
    ];
    let flags = flags.into_iter().flatten().map(str::to_owned);
    values.flatten().chain(flags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_builds_what_its_caller_asks_for_and_publishes_nothing() {
        let options = Options {
            from: Some(StageId::Configure),
            until: Some(StageId::Check),
            targets: vec!["docker".into()],
            keep: true,
            offline: true,
            locked: true,
            extra_args: true,
            vars: vec![("a".into(), "b c".into())],
            publish: Some(None),
            output: Some("out".into()),
            ..Options::default()
        };
        let line = "--from configure --until check --target docker --var a=b\u{a0}c --on-error keep --offline \
                    --locked --allow-extra-args";
        let line: Vec<String> = line
            .split(' ')
            .map(|word| word.replace('\u{a0}', " "))
            .collect();
        assert_eq!(words(&options), line);
        assert_eq!(words(&Options::default()), [""; 0]);
    }
}
