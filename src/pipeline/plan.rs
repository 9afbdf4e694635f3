//! What would run, and why: the stages of an image with their keys. Reads files, runs nothing.

use std::ops::Range;

use serde::Serialize;

use crate::digest::Key;
use crate::error::Result;
use crate::pipeline::epoch::{self, Mode};
use crate::pipeline::keys;
use crate::pull::Pin;
use crate::recipe::types::{Action, From, Install, Recipe};
use crate::recipe::{Config, NamedFile, Repo, Resolved, Role};
use crate::stage::StageId;
use crate::stage::check::Basis;
use crate::store::Store;
use crate::store::digests::Digests;
use crate::store::inputs::{Inputs, Walked};
use crate::target;
use crate::units::Span;

/// What a planned stage does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Makes the base disk.
    Install,
    /// Runs these steps of `configure`; the last part also puts `instance` in place.
    Configure {
        /// Indices into the recipe's `configure`.
        steps: Range<usize>,
        /// No part follows.
        last: bool,
    },
    /// Seals the disk.
    Seal,
    /// Asks the gate.
    Check,
    /// Compresses the disk.
    Pack,
    /// Makes the artifacts of the target with this name.
    Finish(&'static str),
}

/// One stage of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// The image that the stage belongs to: the planned one, or one that it builds on.
    pub image: String,
    /// The stage.
    pub stage: StageId,
    /// The stage's name in this plan: `configure`, after a checkpoint `configure-2`.
    pub label: String,
    /// The stage's key.
    pub key: Key,
    /// Whether the result is in the store and may be used.
    pub cached: bool,
    /// Why the stage runs; empty when it is cached.
    pub why: Vec<String>,
    /// The entry whose disk is the stage's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Key>,
    /// What the stage does.
    #[serde(skip)]
    pub work: Work,
    /// What the key was made of.
    #[serde(skip)]
    pub inputs: Inputs,
    /// The new epoch that somebody asked for.
    #[serde(skip)]
    pub asked: Option<epoch::Asked>,
}

/// Every stage of one image, in order, those of the images that it builds on first.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The recipe.
    pub resolved: Resolved,
    /// The plan of the image that this one builds on, up to its sealed disk.
    pub base: Option<Box<Plan>>,
    /// The published image that this one builds on, or imports.
    pub pin: Option<Pin>,
    /// The image's own stages.
    pub stages: Vec<Planned>,
    /// The recipe, what it includes, and imgforge.yaml.
    pub sources: Vec<Walked>,
}

impl Plan {
    /// The image's name.
    pub fn image(&self) -> &str {
        &self.resolved.recipe.name
    }

    /// `IMAGE_VERSION`: the first 12 digits of the seal stage's key.
    pub fn version(&self) -> &str {
        let seal = self
            .stages
            .iter()
            .find(|planned| planned.stage == StageId::Seal);
        seal.map_or("", |planned| planned.key.short())
    }

    /// All stages, those of the images below first.
    pub fn all(&self) -> Vec<&Planned> {
        let below = self.base.iter().flat_map(|base| base.all());
        below.chain(&self.stages).collect()
    }

    /// The published image below everything, if there is one.
    pub fn pinned(&self) -> Option<&Pin> {
        let below = || self.base.as_deref().and_then(Plan::pinned);
        self.pin.as_ref().or_else(below)
    }

    /// Whether the image, or the one below everything, is bootstrapped.
    pub fn bootstraps(&self) -> bool {
        let own = matches!(self.resolved.recipe.install, Some(Install::Bootstrap(_)));
        own || self.base.as_deref().is_some_and(Plan::bootstraps)
    }

    /// Whether the image, or the one below everything, is made by an installer.
    pub fn runs_an_installer(&self) -> bool {
        let own = matches!(self.resolved.recipe.install, Some(Install::VirtInstall(_)));
        own || self.base.as_deref().is_some_and(Plan::runs_an_installer)
    }

    /// Every file and directory that the keys of the whole chain are made of.
    pub fn read(&self) -> Vec<Walked> {
        let below = self.base.iter().flat_map(|base| base.read());
        let named = self.stages.iter().flat_map(|stage| stage.inputs.read());
        below
            .chain(self.sources.iter().chain(named).cloned())
            .collect()
    }

    /// Whether some stage will run.
    pub fn has_work(&self) -> bool {
        self.all().iter().any(|planned| !planned.cached)
    }
}

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
    /// `--var`.
    pub vars: &'a [(String, String)],
    /// How epochs are treated.
    pub epochs: Mode,
    /// Says which revision of a published image a recipe builds on.
    pub pins: &'a dyn Fn(&Recipe) -> Result<Option<Pin>>,
    /// `--from`: this stage and later ones run again, under new keys.
    pub from: Option<StageId>,
    /// `--until`: later stages are left out.
    pub until: Option<StageId>,
    /// `--target`: only these; none named means all of the recipe's.
    pub targets: &'a [String],
}

impl Planner<'_> {
    /// Plans the image `name`.
    ///
    /// # Errors
    /// When the recipe is wrong or a file that it names cannot be read.
    pub fn plan(&self, name: &str) -> Result<Plan> {
        self.plan_until(name, self.until.unwrap_or(StageId::Finish), self.from)
    }

    fn plan_until(&self, name: &str, until: StageId, from: Option<StageId>) -> Result<Plan> {
        let resolved = self.repo.load(name, self.vars)?;
        let base = match &resolved.recipe.from {
            Some(From::Recipe(parent)) => {
                Some(Box::new(self.plan_until(parent, StageId::Seal, None)?))
            }
            _ => None,
        };
        let below = base
            .as_ref()
            .and_then(|base| base.stages.last())
            .map(|last| last.key.clone());
        let pin = (self.pins)(&resolved.recipe)?;
        let mut draft = Draft {
            planner: self,
            resolved: &resolved,
            pin: pin.as_ref(),
            from,
            anew: false,
            base: base.as_deref().map(Plan::image).zip(below.clone()),
            disk: below,
            stages: vec![],
        };
        draft.add_all()?;
        let mut stages = draft.stages;
        stages.retain(|planned| planned.stage <= until);
        let written =
            |file: &&NamedFile| matches!(file.role, Role::Recipe | Role::Include | Role::Config);
        let walk = |file: &NamedFile| {
            let path = file.path.clone();
            self.digests.walk(&path).map(|found| Walked { path, found })
        };
        let sources = resolved.files.iter().filter(written).map(walk);
        let sources = sources.collect::<Result<_>>()?;
        Ok(Plan {
            sources,
            base,
            pin,
            stages,
            resolved,
        })
    }
}

struct Draft<'a> {
    planner: &'a Planner<'a>,
    resolved: &'a Resolved,
    pin: Option<&'a Pin>,
    from: Option<StageId>,
    /// The disk is one that `--from` asked for, so that all that is made of it has a new key.
    anew: bool,
    /// The image below, and its disk.
    base: Option<(&'a str, Key)>,
    disk: Option<Key>,
    stages: Vec<Planned>,
}

impl Draft<'_> {
    fn add_all(&mut self) -> Result<()> {
        let recipe = &self.resolved.recipe;
        let digests = self.planner.digests;
        let base = match (&recipe.install, self.pin) {
            (Some(install), pin) => Some(keys::install(self.resolved, install, pin, digests)?),
            (None, Some(pin)) => Some(keys::published(recipe, pin)),
            (None, None) => None,
        };
        if let Some(inputs) = base {
            let (label, refresh) = ("install".into(), recipe.refresh);
            self.add(StageId::Install, label, inputs, refresh, Work::Install)?;
        }
        let parts = parts(recipe, self.resolved.grows());
        for (index, steps) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let inputs = keys::configure(self.resolved, self.disk.as_ref(), steps, last, digests)?;
            let label = match index {
                0 => "configure".into(),
                _ => format!("configure-{}", index + 1),
            };
            let work = Work::Configure {
                steps: steps.clone(),
                last,
            };
            self.add(StageId::Configure, label, inputs, recipe.refresh, work)?;
        }
        let inputs = keys::seal(self.resolved, self.disk.as_ref())?;
        self.add(StageId::Seal, "seal".into(), inputs, None, Work::Seal)?;
        let basis = Basis::of(self.resolved, self.planner.config);
        let inputs = keys::check(&basis, self.disk.as_ref());
        self.add(StageId::Check, "check".into(), inputs, None, Work::Check)?;
        let inputs = keys::pack(recipe, self.disk.as_ref());
        self.add(StageId::Pack, "pack".into(), inputs, None, Work::Pack)?;
        for target in target::wanted(&recipe.targets) {
            if !self.planner.targets.is_empty()
                && !self.planner.targets.iter().any(|name| name == target.name)
            {
                continue;
            }
            let disk = self.disk.as_ref();
            let inputs = keys::finish(self.resolved, &basis, disk, target, digests)?;
            let label = format!("finish-{}", target.name);
            self.add(
                StageId::Finish,
                label,
                inputs,
                None,
                Work::Finish(target.name),
            )?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        stage: StageId,
        label: String,
        mut inputs: Inputs,
        refresh: Option<Span>,
        work: Work,
    ) -> Result<()> {
        let (store, image) = (self.planner.store, self.resolved.recipe.name.clone());
        // What a published image has does not age: its revision is an input.
        let pinned = stage == StageId::Install && self.pin.is_some();
        let ages = matches!(stage, StageId::Install | StageId::Configure) && !pinned;
        let mode = match self.planner.epochs {
            Mode::Renew if !ages => Mode::Keep,
            mode => mode,
        };
        let forced = self.from.is_some_and(|from| from <= stage);
        let anew = forced && !self.anew;
        self.anew |= anew && stage <= StageId::Seal;
        let refresh = refresh.filter(|_| ages);
        let applied = epoch::apply(store, &mut inputs, refresh, mode, anew)?;
        let key = inputs.key();
        let cached = store.get(&key).is_some();
        let why = match cached {
            true => vec![],
            false if forced => vec!["asked for with --from".into()],
            false if applied.lost => vec![GONE.into()],
            false => self.of_base(why(store, &image, &label, &inputs)),
        };
        let input = self.disk.clone();
        if stage <= StageId::Seal {
            self.disk = Some(key.clone());
        }
        self.stages.push(Planned {
            image,
            stage,
            label,
            key,
            cached,
            why,
            input,
            work,
            inputs,
            asked: applied.asked,
        });
        Ok(())
    }

    /// Of another disk below, says of which image.
    fn of_base(&self, why: Vec<String>) -> Vec<String> {
        let base = self
            .base
            .as_ref()
            .filter(|(_, disk)| self.disk.as_ref() == Some(disk));
        let Some((name, _)) = base else { return why };
        let changed = keys::DISKS.map(|input| format!("{input} changed"));
        let said = |text: String| match changed.contains(&text) {
            true => format!("{text}: {name} has a new one"),
            false => text,
        };
        why.into_iter().map(said).collect()
    }
}

/// Why a stage runs whose result was removed.
const GONE: &str = "its result is not in the store any more";

/// The steps between checkpoints. Nothing to do in the guest is no part at all; a disk that `grows`
/// does so before the first.
fn parts(recipe: &Recipe, grows: bool) -> Vec<Range<usize>> {
    let steps = &recipe.configure;
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, step) in steps.iter().enumerate() {
        if step.action == Action::Checkpoint {
            parts.push(start..index);
            start = index + 1;
        }
    }
    parts.push(start..steps.len());
    let last_has_work = !recipe.instance.is_empty();
    let count = parts.len();
    let kept = parts.into_iter().enumerate();
    kept.filter(|(index, part)| {
        !part.is_empty() || (grows && *index == 0) || (last_has_work && index + 1 == count)
    })
    .map(|(_, part)| part)
    .collect()
}

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
