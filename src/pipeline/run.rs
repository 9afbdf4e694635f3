//! Carries out a plan: each stage from the store, or made in a draft and committed.

mod files;
mod finish;
mod output;
mod ready;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::host::layers;
use crate::host::namespace::remove_tree;
use crate::pipeline::guard::Guard;
use crate::pipeline::shell::Running;
use crate::pipeline::{Built, Options, Session, log, records};
use crate::stage::plan::{Plan, Planned, Work};
use crate::stage::{
    self, Checked, Configured, Context, Installed, Packed, Published, Sealed, StageId,
};
use crate::store::lock::Lock;
use crate::store::{Draft, Entry, Meta, write_atomic};
use crate::time::now;
use crate::ui::Event;

/// One build of one image.
#[derive(Debug)]
pub(super) struct Run<'a> {
    session: &'a Session,
    options: &'a Options,
    plan: &'a Plan,
    // What the build uses is marked as used until it ends.
    held: Mutex<Vec<Lock>>,
    _mark: Option<Running>,
}

impl<'a> Run<'a> {
    /// Prepares the host if some stage will run; a build without work touches nothing.
    pub(super) fn start(
        session: &'a Session,
        options: &'a Options,
        plan: &'a Plan,
    ) -> Result<Self> {
        finish::foresee(plan)?;
        if plan.has_work() || options.publish.is_some() {
            session.store.prepare()?;
        }
        if plan.has_work() {
            if options.offline {
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
            held: Mutex::default(),
            _mark: mark,
        })
    }

    pub(super) fn install(&self) -> Result<Option<Installed>> {
        if let Some(base) = &self.plan.base {
            let below = Run {
                plan: base,
                held: Mutex::default(),
                _mark: None,
                ..*self
            };
            let sealed = below.sealed()?;
            let mut held = below
                .held
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            self.hold(&mut held);
            return Ok(sealed.map(|sealed| Installed(sealed.0)));
        }
        let Some(planned) = self.planned(StageId::Install).next() else {
            return Ok(None);
        };
        let made = self.stage(planned, |context| {
            stage::install::run(context, self.plan.pin.as_ref())
        });
        made.map(|entry| Some(Installed(entry)))
    }

    fn sealed(&self) -> Result<Option<Sealed>> {
        let Some(installed) = self.install()? else {
            return Ok(None);
        };
        let Some(configured) = self.configure(installed)? else {
            return Ok(None);
        };
        self.seal(configured)
    }

    pub(super) fn configure(&self, installed: Installed) -> Result<Option<Configured>> {
        if self.ends_before(StageId::Configure) {
            return Ok(None);
        }
        let mut disk = installed.0;
        for planned in self.planned(StageId::Configure) {
            let Work::Configure { steps, last } = &planned.work else {
                continue;
            };
            disk = self.stage(planned, |context| {
                stage::configure::run(context, &disk, steps.clone(), *last)
            })?;
        }
        Ok(Some(Configured(disk)))
    }

    pub(super) fn seal(&self, configured: Configured) -> Result<Option<Sealed>> {
        let Some(planned) = self.planned(StageId::Seal).next() else {
            return Ok(None);
        };
        let version = self.plan.version();
        let entry = self.stage(planned, |context| {
            stage::seal::run(context, &configured, version)
        })?;
        Ok(Some(Sealed(entry)))
    }

    pub(super) fn check(&self, sealed: &Sealed) -> Result<Option<Checked>> {
        let Some(planned) = self.planned(StageId::Check).next() else {
            return Ok(None);
        };
        let entry = self.stage(planned, |context| stage::check::run(context, sealed))?;
        Checked::of(sealed, &entry).map(Some)
    }

    pub(super) fn pack(&self, sealed: &Sealed) -> Result<Option<Packed>> {
        let Some(planned) = self.planned(StageId::Pack).next() else {
            return Ok(None);
        };
        let version = self.plan.version();
        let entry = self.stage(planned, |context| {
            stage::pack::run(context, sealed, version)
        })?;
        Packed::of(sealed, &entry).map(Some)
    }

    fn hold(&self, locks: &mut Vec<Lock>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.append(locks);
    }

    pub(super) fn publish(&self, checked: &Checked, packed: &Packed) -> Result<Option<Published>> {
        let Some(channel) = &self.options.publish else {
            return Ok(None);
        };
        let ui = self
            .session
            .ui
            .stage(self.plan.image(), StageId::Publish.name());
        let request = stage::publish::Request {
            plan: self.plan,
            root: self.session.repo.root(),
            config: &self.session.config,
            store: &self.session.store,
            channel: channel.as_deref(),
            checked,
            packed,
        };
        stage::publish::run(&request, &ui).map(Some)
    }

    /// What a build that `--until` ended gives.
    pub(super) fn stopped(&self) -> Built {
        Built {
            plan: self.plan.clone(),
            packed: None,
            checked: None,
            published: None,
        }
    }

    fn planned(&self, stage: StageId) -> impl Iterator<Item = &'a Planned> {
        self.plan
            .stages
            .iter()
            .filter(move |planned| planned.stage == stage)
    }

    fn ends_before(&self, stage: StageId) -> bool {
        self.options.until.is_some_and(|until| until < stage)
    }

    /// The stage's entry: from the store, from another process that makes it now, or made here.
    fn stage(
        &self,
        planned: &Planned,
        work: impl FnOnce(&Context<'_>) -> Result<Value>,
    ) -> Result<Entry> {
        let store = &self.session.store;
        if planned.cached {
            let shared = store.share(&planned.key)?;
            if let Some(entry) = store.get(&planned.key) {
                self.hold(&mut vec![shared]);
                return Ok(self.reuse(planned, entry));
            }
        }
        let lock = store.lock(&planned.key, |pid| {
            let (image, stage) = (planned.image.clone(), planned.label.clone());
            self.session.ui.event(&Event::Waiting { image, stage, pid });
        })?;
        let entry = match store.get(&planned.key) {
            Some(entry) => self.reuse(planned, entry),
            None => self.make(planned, work)?,
        };
        self.hold(&mut vec![lock.downgrade()?]);
        Ok(entry)
    }

    fn reuse(&self, planned: &Planned, entry: Entry) -> Entry {
        entry.touch();
        self.remember(planned);
        records::hit(&self.session.store, &planned.image, &planned.label);
        let (image, stage) = (planned.image.clone(), planned.label.clone());
        self.session.ui.event(&Event::Cached {
            image,
            stage,
            key: planned.key.short().into(),
        });
        entry
    }

    fn make(
        &self,
        planned: &Planned,
        work: impl FnOnce(&Context<'_>) -> Result<Value>,
    ) -> Result<Entry> {
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
        });
        let began = Instant::now();
        let guard = Guard {
            resolved: &self.plan.resolved,
            state: store.state(),
            draft: draft.path(),
            logs: &logs,
            ui: &stage_ui,
        };
        let made = self.with_files(planned, draft.path(), |files| {
            work(&self.context(planned, &stage_ui, draft.path(), &logs, files))
        });
        let made = layers::settled(draft.path(), made);
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
        let note = facts.get("note").and_then(Value::as_str).map(str::to_owned);
        let committed = draft.commit(store, meta(planned, began.elapsed(), facts));
        let entry = committed.map_err(|error| told(planned, error, &log))?;
        // What an earlier failure left has served its purpose.
        drop(std::fs::remove_dir_all(store.kept(&planned.image)));
        self.remember(planned);
        records::ran(store, &planned.image, &planned.label, began.elapsed());
        ui.event(&Event::Finished {
            image,
            stage,
            took: began.elapsed(),
            note,
        });
        Ok(entry)
    }

    /// The inputs of the stage's current result, for `--explain`.
    fn remember(&self, planned: &Planned) {
        let path = self
            .session
            .store
            .image(&planned.image)
            .join(format!("{}.json", planned.label));
        let text = serde_json::to_vec(&planned.inputs).unwrap_or_default();
        if std::fs::read(&path).is_ok_and(|known| known == text) {
            return;
        }
        // Only an explanation suffers.
        drop(write_atomic(&path, &text));
    }

    fn failed(&self, planned: &Planned, draft: Draft, error: Error, log: &Path) -> Error {
        let image = &planned.image;
        if matches!(error.kind(), Kind::Interrupted(_)) {
            return error;
        }
        let error = told(planned, error, log);
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

/// What every failed stage says.
fn told(planned: &Planned, error: Error, log: &Path) -> Error {
    let Planned { image, label, .. } = planned;
    error
        .within(format!("the {label} stage of {image} failed"))
        .cause(format!("the log is {}", log.display()))
        .resume(format!("`imgforge build {image}` goes on at this stage"))
}

fn meta(planned: &Planned, took: Duration, facts: Value) -> Meta {
    Meta {
        key: planned.key.clone(),
        image: planned.image.clone(),
        stage: planned.label.clone(),
        parent: planned
            .input
            .clone()
            .filter(|_| planned.stage <= StageId::Seal),
        disk: None,
        created: now(),
        took: took.as_secs_f64(),
        inputs: planned.inputs.clone(),
        facts,
    }
}
