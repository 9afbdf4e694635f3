//! Carries out a plan: each stage from the store, or made in a draft and committed.

mod files;
mod finish;
mod indexed;
mod output;
mod ready;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::host::layers;
use crate::host::namespace::remove_tree;
use crate::host::outlet::Folder;
use crate::lock::Fetching;
use crate::mutex::Unpoisoned as _;
use crate::pipeline::guard::Guard;
use crate::pipeline::shell::Running;
use crate::pipeline::whole::{Built, Results};
use crate::pipeline::{Options, Session, log, records};
use crate::stage::configure::Configured;
use crate::stage::install::Installed;
use crate::stage::plan::{Part, Plan, PlanBase, Planned};
use crate::stage::seal::Sealed;
use crate::stage::{self, Context, OfSealed, StageId};
use crate::store::lock::Lock;
use crate::store::{Draft, Facts, Layer, Meta, write_atomic};
use crate::ui::Event;

/// One build of one image.
#[derive(Debug)]
pub(super) struct Run<'a> {
    session: &'a Session,
    options: &'a Options,
    plan: &'a Plan,
    // The image that was asked for, where the plan is of one below it, too.
    asked: &'a str,
    output: Option<Folder>,
    // What the build uses is marked as used until it ends.
    held: HeldLocks,
    mark: Option<Running>,
}

/// The locks of what a build uses.
pub(super) type HeldLocks = Arc<Mutex<Vec<Lock>>>;

/// Why a build ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// `--until`: what was asked for is there.
    Until,
    /// A stage failed.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Carries out a plan by its `stages`; nothing comes back where `--until` stops them.
///
/// # Errors
/// Of the stage that fails.
pub(super) fn carry_out(
    session: &Session,
    options: &Options,
    plan: Plan,
    stages: fn(&Run<'_>) -> Result<Results, Stop>,
) -> Result<Option<Built>> {
    let run = Run::start(session, options, &plan)?;
    let results = match stages(&run) {
        Ok(results) => results,
        Err(Stop::Until) => return Ok(None),
        Err(Stop::Failed(error)) => return Err(error),
    };
    let Run {
        output, held, mark, ..
    } = run;
    Ok(Some(Built {
        plan,
        results,
        output,
        _held: (held, mark),
    }))
}

impl<'a> Run<'a> {
    /// Prepares the host if some stage will run; a build without work touches nothing.
    fn start(session: &'a Session, options: &'a Options, plan: &'a Plan) -> Result<Self> {
        let output = options.output.as_deref().map(output::open).transpose()?;
        for planned in plan.all() {
            if let (Some(why), Planned { label, image, .. }) = (&planned.unreadable, planned) {
                session.ui.notice(format!(
                    "the {label} stage of {image} is made again: what the store has of it cannot \
                     be read: {why}"
                ));
            }
        }
        finish::preflight(plan)?;
        if plan.has_work() || options.publish.is_some() {
            session.store.prepare()?;
        }
        if plan.has_work() {
            if options.offline && !options.locked {
                ready::refuse_fetching(plan)?;
            }
            ready::have_secrets(plan)?;
            let root = rustix::process::geteuid().is_root();
            ready::may_have_arguments(plan, options.extra_args || !root)?;
            if options.publish.is_some() {
                let Session { config, repo, .. } = session;
                let channel = options.publish.as_ref().and_then(Option::as_deref);
                stage::publish::ready(config, plan, repo.root(), channel)?;
            }
            ready::prepare(&session.host, plan, options.publish.is_some())?;
        }
        // It has begun: what was asked for anew is what later builds go on with.
        for planned in plan.all() {
            planned
                .asked
                .iter()
                .try_for_each(|asked| asked.keep(&session.store))?;
        }
        // What an earlier failure kept is out of date now; a read-only store stays as it is.
        drop(remove_tree(&session.store.kept(plan.image())));
        let mark = plan
            .has_work()
            .then(|| Running::mark(&session.store, plan.image()))
            .transpose()?;
        Ok(Run {
            session,
            options,
            plan,
            asked: plan.image(),
            output,
            held: Arc::default(),
            mark,
        })
    }

    /// What the image is made on.
    pub(super) fn base(&self) -> &'a PlanBase {
        &self.plan.base
    }

    /// The build of the image that this one builds on.
    pub(super) fn below(&self, plan: &'a Plan) -> Run<'a> {
        Run {
            plan,
            output: None,
            held: Arc::clone(&self.held),
            mark: None,
            ..*self
        }
    }

    /// The result of the stage that reports `F`.
    pub(super) fn stage<F: Facts>(
        &self,
        work: impl FnOnce(&Context<'_>) -> Result<F>,
    ) -> Result<Layer<F>, Stop> {
        let planned = self.planned(F::STAGE).next().ok_or(Stop::Until)?;
        Ok(self.result(planned, work)?)
    }

    /// As [`Run::stage`], of one that reports about the sealed disk.
    pub(super) fn on<F: Facts + OfSealed>(
        &self,
        sealed: &Layer<Sealed>,
        work: impl FnOnce(&Context<'_>) -> Result<F>,
    ) -> Result<Layer<F>, Stop> {
        Ok(self.stage(work)?.of(sealed)?)
    }

    /// The disk after the last part of the recipe's steps; without any, the installed one.
    pub(super) fn configure(&self, installed: Layer<Installed>) -> Result<Layer<Configured>, Stop> {
        if self
            .options
            .until
            .is_some_and(|until| until < StageId::Configure)
        {
            return Err(Stop::Until);
        }
        let mut disk = installed.convert();
        for planned in self.planned(Configured::STAGE) {
            let Part::Steps { steps, last, .. } = &planned.part else {
                continue;
            };
            disk = self.result(planned, |context| {
                stage::configure::run(context, &disk, steps.clone(), *last)
            })?;
        }
        Ok(disk)
    }

    fn hold(&self, lock: Lock) {
        let mut held = self.held.lock().unpoisoned();
        held.push(lock);
    }

    /// The parts of a stage.
    fn planned(&self, stage: &'static str) -> impl Iterator<Item = &'a Planned> + use<'a> {
        let all = self.plan.stages.iter();
        all.filter(move |planned| planned.stage.name() == stage)
    }

    /// A stage's result: from the store, from another process that makes it now, or made here.
    fn result<F: Facts>(
        &self,
        planned: &Planned,
        work: impl FnOnce(&Context<'_>) -> Result<F>,
    ) -> Result<Layer<F>> {
        let store = &self.session.store;
        if planned.cached {
            let shared = store.share(&planned.key)?;
            if let Some(layer) = store.get(&planned.key) {
                self.hold(shared);
                self.reuse(planned, &layer);
                return Ok(layer);
            }
        }
        let lock = store.lock(&planned.key, |pid| {
            let (image, stage) = (planned.image.clone(), planned.label.clone());
            self.session.ui.event(&Event::Waiting { image, stage, pid });
        })?;
        let layer = match store.get_unless_lost(&planned.key)? {
            Some(layer) => {
                self.reuse(planned, &layer);
                layer
            }
            None => self.make(planned, work)?,
        };
        self.hold(lock.downgrade()?);
        Ok(layer)
    }

    fn reuse<F>(&self, planned: &Planned, layer: &Layer<F>) {
        layer.entry().touch();
        self.remember(planned);
        records::hit(&self.session.store, &planned.image, &planned.label);
        let (image, stage) = (planned.image.clone(), planned.label.clone());
        self.session.ui.event(&Event::Cached {
            image,
            stage,
            key: planned.key.short().into(),
        });
    }

    fn make<F: Facts>(
        &self,
        planned: &Planned,
        work: impl FnOnce(&Context<'_>) -> Result<F>,
    ) -> Result<Layer<F>> {
        let Session {
            store, ui, host, ..
        } = self.session;
        let draft = store.draft(host.ledger()?)?;
        let logs = store.logs(&planned.image);
        let (stage_ui, log) = log::start(ui, &logs, &planned.image, &planned.label)?;
        let (image, stage) = (planned.image.clone(), planned.label.clone());
        let key = planned.key.short().to_owned();
        ui.event(&Event::Started {
            image: image.clone(),
            stage: stage.clone(),
            key,
            last: records::last(store, &image, &stage),
        });
        let began = Instant::now();
        let guard = Guard {
            resolved: &self.plan.resolved,
            state: store.state(),
            draft: draft.path(),
            logs: &logs,
            ui: &stage_ui,
        };
        let fetching = Fetching::new(self.plan.binding(planned, self.options.offline));
        let made = self.with_files(planned, draft.path(), |files| {
            work(&self.context(planned, &stage_ui, draft.path(), &logs, files, &fetching))
        });
        let made = fetching.judge(made).and_then(|facts| {
            let written = fetching.write(draft.path(), planned.fetches());
            written.map(|()| facts)
        });
        let made = layers::settled(draft.path(), made);
        let made = made.and_then(|facts| {
            self.index(planned, draft.path(), &stage_ui)?;
            Ok(facts)
        });
        if made.is_err() {
            guard.mask_logs();
        }
        let made = made.and_then(|facts| guard.check().map(|()| facts));
        let facts = match made {
            Ok(facts) => facts,
            Err(error) => {
                ui.event(&Event::Failed {
                    image,
                    stage,
                    message: error.message().into(),
                });
                if !matches!(error.kind(), Kind::Interrupted(_)) {
                    records::failed(store, &planned.image, &planned.label);
                }
                return Err(self.failed(planned, draft, error, &log));
            }
        };
        let committed = draft.commit(store, meta(planned, began), facts);
        let layer = committed.map_err(|error| self.describe(planned, error, &log))?;
        // What an earlier failure left has served its purpose.
        drop(std::fs::remove_dir_all(store.kept(&planned.image)));
        self.remember(planned);
        records::ran(store, &planned.image, &planned.label, began.elapsed());
        ui.event(&Event::Finished {
            image,
            stage,
            took: began.elapsed(),
            note: layer.facts().note().map(str::to_owned),
        });
        store.share_out(layer.entry(), planned.input.as_ref(), host.ledger()?)?;
        Ok(layer)
    }

    /// The inputs of the stage's current result, for `--explain`.
    fn remember(&self, planned: &Planned) {
        let path = self
            .session
            .store
            .image(&planned.image)
            .join(format!("{}.json", planned.label));
        let Ok(text) = serde_json::to_vec(&planned.inputs) else {
            return;
        };
        if std::fs::read(&path).is_ok_and(|known| known == text) {
            return;
        }
        // Only an explanation suffers.
        drop(write_atomic(&path, &text));
    }

    /// What every failed stage says.
    fn describe(&self, planned: &Planned, error: Error, log: &Path) -> Error {
        let Planned { image, label, .. } = planned;
        error
            .within(format!("the {label} stage of {image} failed"))
            .cause(format!("the log is {}", log.display()))
            .resume(self.options.again.sentence(&[self.asked]))
    }

    fn failed(&self, planned: &Planned, draft: Draft, error: Error, log: &Path) -> Error {
        let image = &planned.image;
        if matches!(error.kind(), Kind::Interrupted(_)) {
            return error;
        }
        let error = self.describe(planned, error, log);
        // `imgforge shell` would open what it refers to.
        if error.kind() == Kind::Breach {
            return error;
        }
        if !self.options.keep {
            return error.hint(format!(
                "with --on-error keep the disk stays for `imgforge shell {image}`"
            ));
        }
        match draft.keep(&self.session.store.kept(image), planned.input.as_ref()) {
            Ok(()) => error.hint(format!("`imgforge shell {image}` boots the disk as it is")),
            Err(kept) => error.cause(kept),
        }
    }
}

fn meta(planned: &Planned, began: Instant) -> Meta {
    let Planned { key, image, .. } = planned;
    let inputs = planned.inputs.clone();
    let below = planned.input.clone();
    Meta {
        parent: below.filter(|_| planned.stage.row().makes_disk),
        ..Meta::new(key.clone(), image, &planned.label, inputs, began)
    }
}
