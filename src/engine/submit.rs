//! Gives the jobs of a build to an engine, each after its parents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::jobs::{self, Broken};
use super::queue::{Order, Queue};
use super::run::{Asked, Run, Submitted, result};
use super::script::{Place, script};
use super::{Job, attend::cancel_all};
use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::mutex::Unpoisoned as _;
use crate::pipeline::graph::{self, Node, Room};
use crate::pipeline::{self, Options, Session};
use crate::store::epoch::Mode;
use crate::time::now;
use crate::units::Size;

/// So many programs of an engine work at once.
const AT_ONCE: usize = 4;

/// What the command line says of the jobs.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The global options that jobs get, too.
    pub globals: Vec<String>,
    /// So many jobs at a time.
    pub most: Option<usize>,
}

/// Submits what is not in the store. Images whose recipes are wrong are left out, with what is wrong.
///
/// # Errors
/// When the engine does not take a job, or on an interrupt: what it took is cancelled.
pub fn submit(
    session: &Session,
    queue: &'static Queue,
    (options, names): (&Options, &[String]),
    wishes: &Wishes,
) -> Result<(Run, Vec<Broken>)> {
    apart(session, options)?;
    pipeline::may_publish(session, options, names)?;
    let gates = session.config.engine.slurm.gate_constraint.is_some();
    let (jobs, broken) = jobs::list_right(session, options, names, (Mode::Keep, gates));
    let is_right = |name: &String| !broken.iter().any(|(wrong, _)| wrong == name);
    let mut run = Run {
        id: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
        engine: queue.name.to_owned(),
        created: now(),
        images: names
            .iter()
            .filter(|name| is_right(name))
            .cloned()
            .collect(),
        asked: Asked::new(options),
        jobs: vec![],
        whole: false,
    };
    run.asked.make_absolute()?;
    let open: Vec<Job> = jobs.into_iter().filter(|job| !job.done).collect();
    if open.is_empty() {
        return Ok((run, broken));
    }
    session.store.prepare()?;
    run.save(&session.store)?;
    let taken = Mutex::default();
    let submitted = Submission::new((session, options), queue, &run, wishes, &open)?.all(&taken);
    let mut taken: BTreeMap<String, Submitted> = taken.into_inner().unpoisoned();
    if let Err(error) = submitted {
        run.jobs = taken.into_values().collect();
        if let Err(error) = cancel_all(session, &run) {
            session.ui.warning(error.render().trim_end().to_owned());
        }
        return Err(error);
    }
    run.jobs = open
        .iter()
        .filter_map(|job| taken.remove(&job.name))
        .collect();
    run.whole = true;
    run.save(&session.store)?;
    Ok((run, broken))
}

/// Refuses what nodes with state directories of their own cannot do.
fn apart(session: &Session, options: &Options) -> Result<()> {
    let Some(state) = &session.config.engine.slurm.state else {
        return Ok(());
    };
    let because = "each node has a state directory of its own (`engine: {slurm: {state: …}}`)";
    if !Path::new(state).is_absolute() {
        let said = format!("`{state}`, the state directory of nodes, is no absolute path");
        return Err(Error::usage(said).hint("write `engine: {slurm: {state: /DIR}}`"));
    }
    let store = &session.config.store;
    if store.remote.is_none() || !store.push {
        let said = format!("{because}, and nothing brings their results here");
        return Err(Error::usage(said).hint(
            "write `store: {remote: oci://…, push: true, allowed-signers: FILE}` in imgforge.yaml",
        ));
    }
    if let Some(from) = options.from {
        let said = format!("`--from {from}` makes keys that are known to one node only: {because}");
        return Err(Error::usage(said).hint(
            "build it with `--from` on one machine, without `--on`; the nodes go on with that",
        ));
    }
    Ok(())
}

/// The program on the nodes, and the recipe repository, as whole paths.
pub(super) fn program_and_root(session: &Session) -> Result<(PathBuf, PathBuf)> {
    let program = match &session.config.engine.slurm.program {
        Some(program) => PathBuf::from(program),
        None => std::env::current_exe().doing(|| "finding this program".into())?,
    };
    let root = std::path::absolute(session.repo.root());
    let root = root.doing(|| "finding the recipe repository".into())?;
    Ok((program, root))
}

struct Submission<'a> {
    session: &'a Session,
    options: &'a Options,
    queue: &'static Queue,
    run: &'a Run,
    wishes: &'a Wishes,
    jobs: &'a [Job],
    program: PathBuf,
    root: PathBuf,
}

impl<'a> Submission<'a> {
    fn new(
        (session, options): (&'a Session, &'a Options),
        queue: &'static Queue,
        run: &'a Run,
        wishes: &'a Wishes,
        jobs: &'a [Job],
    ) -> Result<Self> {
        let (program, root) = program_and_root(session)?;
        Ok(Submission {
            session,
            options,
            queue,
            run,
            wishes,
            jobs,
            program,
            root,
        })
    }

    /// The name of the job that has to end before this one, so that no more than wished run at a time.
    fn before(&self, index: usize) -> Option<&str> {
        let before = index.checked_sub(self.wishes.most?)?;
        Some(&self.jobs[before].name)
    }

    /// Nothing more is submitted after a job that was not taken.
    fn all(&self, taken: &Mutex<BTreeMap<String, Submitted>>) -> Result<()> {
        let node = |(index, job): (usize, &Job)| Node {
            name: job.name.clone(),
            parents: job
                .parents
                .iter()
                .cloned()
                .chain(self.before(index).map(str::to_owned))
                .collect(),
            memory: Size::bytes(0),
        };
        let nodes: Vec<Node> = self.jobs.iter().enumerate().map(node).collect();
        let room = Room {
            memory: Size::bytes(0),
            images: AT_ONCE,
        };
        let failed: Mutex<Option<Error>> = Mutex::default();
        graph::run(&nodes, room, |name| {
            let index = self.jobs.iter().position(|job| job.name == name);
            let Some(index) = index.filter(|_| failed.lock().unpoisoned().is_none()) else {
                return Ok(());
            };
            if let Err(error) = self.one(index, taken) {
                let error = error.within(format!("the job of {name} was not taken"));
                failed.lock().unpoisoned().get_or_insert(error);
            }
            Ok(())
        })?;
        failed.into_inner().unpoisoned().map_or(Ok(()), Err)
    }

    fn one(&self, index: usize, taken: &Mutex<BTreeMap<String, Submitted>>) -> Result<()> {
        let job = &self.jobs[index];
        let [events, output] = self.run.files(&self.session.store, &job.name);
        let config = &self.session.config.engine;
        let (own, here) = (config.slurm.state.as_deref(), self.session.store.state());
        let place = Place {
            program: &self.program,
            root: &self.root,
            state: own.map_or(here, Path::new),
            caller: own.map(|_| here),
            globals: &self.wishes.globals,
            scratch: config.slurm.scratch.as_deref(),
            root_user: rustix::process::geteuid().is_root(),
        };
        let known = |name: &str| {
            let taken = taken.lock().unpoisoned();
            taken.get(name).map(|submitted| submitted.id.clone())
        };
        // The job may be quick.
        let before = self.there(job);
        let id = (self.queue.submit)(&Order {
            job,
            parents: job.parents.iter().filter_map(|name| known(name)).collect(),
            after: self.before(index).and_then(known).into_iter().collect(),
            script: script(job, &place, &events),
            output: &output,
            root: &self.root,
            config,
        })?;
        let submitted = Submitted {
            id,
            job: job.clone(),
            before,
        };
        let noted = self.run.note(&self.session.store, &submitted);
        taken
            .lock()
            .unpoisoned()
            .insert(job.name.clone(), submitted);
        noted
    }

    /// The result that the store has of an image that is built anew: the job has to make another one.
    fn there(&self, job: &Job) -> Option<Key> {
        self.options.from?;
        let options = self.run.options(job);
        let plan = pipeline::plan(self.session, &options, &job.image, Mode::Last).ok()?;
        (!plan.has_work()).then(|| result(&plan))
    }
}
