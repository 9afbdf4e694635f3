//! From a recipe to its plan: what would run, and why. Reads files, runs nothing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Key;
use crate::error::Result;
use crate::lock::{self, Lock};
use crate::pull::Pin;
use crate::recipe::types::{Base, PublishedImage, Recipe};
use crate::recipe::{Config, NamedFile, Repo, Resolved, Role, config};
use crate::stage::plan::{Part, Plan, PlanBase, Planned, Request};
use crate::stage::{Stage, StageId};
use crate::store::Store;
use crate::store::digests::Digests;
use crate::store::epoch::{self, Lost, Mode};
use crate::store::inputs::{Inputs, LOCK, Walked};

/// Finds the revision of the published image that a recipe builds on, which a lock may name.
pub type FindPin<'a> = dyn Fn(&Recipe, &PublishedImage, Option<&Lock>) -> Result<Pin> + 'a;

/// What plans are made from.
#[allow(missing_debug_implementations, reason = "a closure has none")]
pub struct Planner<'a> {
    /// The recipe repository.
    pub repo: &'a Repo,
    /// Its imgforge.yaml.
    pub config: &'a Config,
    /// Where finished stages are.
    pub store: &'a Store,
    /// The memory of file digests.
    pub digests: &'a Digests,
    pub(crate) vars: &'a [(String, String)],
    /// How epochs are treated.
    pub epochs: Mode,
    /// Says which revision of a published image a recipe builds on.
    pub pins: &'a FindPin<'a>,
    /// `--from`: this stage and later ones run again, under new keys.
    pub from: Option<StageId>,
    /// `--until`: later stages are left out.
    pub until: Option<StageId>,
    /// `--target`: only these; none named means all of the recipe's.
    pub targets: &'a [String],
    /// `--locked`: stages fetch nothing else, and do not age.
    pub locked: bool,
}

impl Planner<'_> {
    /// Plans the image `name`.
    ///
    /// # Errors
    /// When the recipe is wrong or a file that it names cannot be read.
    pub fn plan(&self, name: &str) -> Result<Plan> {
        let until = self.until.unwrap_or(StageId::Finish);
        let lock = match self.locked {
            true => Some(self.lock(name)?),
            false => None,
        };
        self.plan_until(name, until, self.from, lock.as_ref())
    }

    /// The lock beside the recipe of an image.
    fn lock(&self, name: &str) -> Result<Arc<Lock>> {
        let resolved = self.repo.load(name, self.vars)?;
        let path = lock::path(&resolved.file, &resolved.id);
        Lock::read(&path, &resolved.id).map(Arc::new)
    }

    fn plan_until(
        &self,
        name: &str,
        until: StageId,
        from: Option<StageId>,
        lock: Option<&Arc<Lock>>,
    ) -> Result<Plan> {
        let resolved = self.repo.load(name, self.vars)?;
        let base = match &resolved.base {
            Base::Layer(parent) => Base::Layer(Box::new(self.plan_until(
                parent,
                StageId::Seal,
                None,
                lock,
            )?)),
            Base::Published(image) => {
                let lock = lock.map(Arc::as_ref);
                Base::Published((self.pins)(&resolved.recipe, image, lock)?)
            }
            Base::Install(install) => Base::Install(install.clone()),
        };
        let layer = match &base {
            Base::Layer(plan) => plan
                .stages
                .last()
                .map(|last| (plan.image(), last.key.clone())),
            Base::Published(_) | Base::Install(_) => None,
        };
        let mut draft = Draft {
            planner: self,
            resolved: &resolved,
            base: &base,
            from,
            lock,
            anew: false,
            disk: layer.as_ref().map(|(_, disk)| disk.clone()),
            layer,
            stages: vec![],
        };
        draft.add_until(until)?;
        let stages = draft.stages;
        let written = |file: &&NamedFile| matches!(file.role, Role::Recipe | Role::Include);
        let files = resolved.files.iter().filter(written);
        // Also one that was not there: a commit may have it.
        let config = resolved.root.join(config::FILE);
        let paths = files.map(|file| file.path.clone()).chain([config]);
        let parsed = paths.map(|path| Walked {
            found: self.repo.found(&path),
            path,
            installer: false,
        });
        let walk = |path: PathBuf| {
            let found = self.digests.walk(&path)?;
            Ok(Walked {
                path,
                found,
                installer: false,
            })
        };
        let named = self.config.files(self.repo.root()).into_iter().map(walk);
        let sources = parsed.map(Ok).chain(named).collect::<Result<_>>()?;
        Ok(Plan {
            sources,
            base,
            stages,
            resolved,
            lock: lock.cloned(),
        })
    }
}

struct Draft<'a> {
    planner: &'a Planner<'a>,
    resolved: &'a Resolved,
    base: &'a PlanBase,
    from: Option<StageId>,
    lock: Option<&'a Arc<Lock>>,
    /// The disk is one that `--from` asked for, so that all that is made of it has a new key.
    anew: bool,
    /// The image below, and its disk.
    layer: Option<(&'a str, Key)>,
    disk: Option<Key>,
    stages: Vec<Planned>,
}

impl<'a> Draft<'a> {
    /// What is left out is not looked for, either.
    fn add_until(&mut self, until: StageId) -> Result<()> {
        for stage in StageId::ALL.iter().filter(|stage| **stage <= until) {
            for (part, inputs) in (stage.row().parts)(&self.request()) {
                let inputs = inputs(&self.request())?;
                self.add(*stage, part, inputs)?;
            }
        }
        Ok(())
    }

    fn request(&self) -> Request<'a> {
        Request {
            resolved: self.resolved,
            config: self.planner.config,
            base: self.base,
            targets: self.planner.targets,
            digests: self.planner.digests,
            disk: self.disk.clone(),
        }
    }

    fn add(&mut self, stage: StageId, part: Part, mut inputs: Inputs) -> Result<()> {
        let row = stage.row();
        let (store, image) = (self.planner.store, self.resolved.id.clone());
        // What a published image has does not age: its revision is an input.
        let pinned = stage == StageId::Install && matches!(self.base, Base::Published(_));
        let label = part.label(stage);
        if let Some(lock) = self.lock.filter(|_| part.fetches(row)) {
            let bound = lock.need(&image, &label)?.record.digest();
            inputs.input(LOCK, &bound);
        }
        let ages = row.fetches && !pinned && self.lock.is_none();
        let mode = match self.planner.epochs {
            Mode::Renew if !ages => Mode::Keep,
            mode => mode,
        };
        let forced = self.from.is_some_and(|from| from <= stage);
        let anew = forced && !self.anew;
        self.anew |= anew && row.makes_disk;
        let refresh = self.resolved.recipe.refresh.filter(|_| ages);
        let has = row.has;
        let applied = epoch::apply(store, &mut inputs, has, refresh, mode, anew)?;
        let key = inputs.key()?;
        let cached = has(store, &key) == Ok(true);
        let remote = cached && store.remote().is_some() && !store.is_here(&key);
        let why = match cached {
            true => vec![],
            false if forced => vec!["asked for with --from".into()],
            false => match &applied.lost {
                Some(Lost::Gone) => vec![GONE.into()],
                Some(Lost::Unreadable(why)) => vec![format!("{UNREADABLE}: {why}")],
                None => self.of_base(row, why(store, &image, &label, &inputs)),
            },
        };
        let unreadable = match applied.lost {
            Some(Lost::Unreadable(why)) => Some(why),
            _ => None,
        };
        let input = self.disk.clone();
        if row.makes_disk {
            self.disk = Some(key.clone());
        }
        self.stages.push(Planned {
            image,
            stage,
            label,
            key,
            cached,
            remote,
            why,
            input,
            part,
            inputs,
            unreadable,
            asked: applied.asked,
        });
        Ok(())
    }

    /// Of another disk below, says of which image.
    fn of_base(&self, stage: &Stage, why: Vec<String>) -> Vec<String> {
        let base = self
            .layer
            .as_ref()
            .filter(|(_, disk)| self.disk.as_ref() == Some(disk));
        let Some((name, _)) = base else { return why };
        let changed = format!("{} changed", stage.below);
        let said = |text: String| match text == changed {
            true => format!("{text}: {name} has a new one"),
            false => text,
        };
        why.into_iter().map(said).collect()
    }
}

/// Why a stage runs whose result this imgforge cannot read.
const UNREADABLE: &str = "its result in the store cannot be read";

/// Why a stage runs whose result was removed.
const GONE: &str = "its result is not in the store any more";

fn why(store: &Store, image: &str, label: &str, inputs: &Inputs) -> Vec<String> {
    let before = std::fs::read(store.image(image).join(format!("{label}.json")));
    match before
        .ok()
        .and_then(|text| serde_json::from_slice::<Inputs>(&text).ok())
    {
        None => vec!["it was never built here".into()],
        Some(before) if before == *inputs => vec![GONE.into()],
        Some(before) => inputs.changes_since(&before),
    }
}
