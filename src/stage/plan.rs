//! The stages of one image as a value: what each would do, with its key, and why it runs.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::digest::Key;
use crate::error::Result;
use crate::lock::{Lock, Locked};
use crate::pull::Pin;
use crate::recipe::types::{Base, Install};
use crate::recipe::{Config, Resolved};
use crate::stage::{Stage, StageId};
use crate::store::digests::Digests;
use crate::store::inputs::{Inputs, Walked};
use crate::store::{Unreadable, epoch};
use crate::targets::Wanted;

/// What the parts of a stage, and what they depend on, are asked with.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The recipe.
    pub resolved: &'a Resolved,
    /// imgforge.yaml.
    pub config: &'a Config,
    /// What the image is made on.
    pub base: &'a PlanBase,
    /// `--target`: only these; none named means all of the recipe's.
    pub targets: &'a [String],
    /// The memory of file digests.
    pub digests: &'a Digests,
    /// The disk of the stage before.
    pub disk: Option<Key>,
}

impl Request<'_> {
    /// The inputs of a stage whose code has this version, with the disk that it begins with.
    pub fn begin(&self, stage: &Stage, version: u32) -> Inputs {
        let mut inputs = Inputs::new(stage.name, version);
        if let Some(key) = &self.disk {
            inputs.input(stage.below, key);
        }
        inputs
    }
}

/// What of a stage is done at once, under one key.
#[derive(Debug, Clone)]
pub enum Part {
    /// All of it.
    Whole,
    /// Steps of `configure`; the last part also puts `instance` in place.
    Steps {
        /// Counts from 1.
        number: usize,
        /// Indices into the recipe's `configure`.
        steps: Range<usize>,
        /// No part follows.
        last: bool,
    },
    /// The artifacts of one target.
    Target(Wanted),
}

/// The parts that an image has of a stage, in order, each with what its result depends on: asked when
/// the disk of the part before is known.
pub type Parts<'a> = Vec<(Part, Box<dyn FnOnce(&Request<'a>) -> Result<Inputs> + 'a>)>;

impl Part {
    /// Of a stage that an image has once.
    pub fn whole<'a>(inputs: impl FnOnce(&Request<'a>) -> Result<Inputs> + 'a) -> Parts<'a> {
        vec![(Part::Whole, Box::new(inputs))]
    }

    /// Whether it uses the network.
    pub fn fetches(&self, row: &Stage) -> bool {
        match self {
            Part::Target(target) => !target.options.steps().is_empty(),
            Part::Whole | Part::Steps { .. } => row.fetches,
        }
    }

    /// Its name in a plan.
    pub fn label(&self, stage: StageId) -> String {
        match self {
            Part::Whole | Part::Steps { number: 1, .. } => stage.name().to_owned(),
            Part::Steps { number, .. } => format!("{stage}-{number}"),
            Part::Target(target) => format!("{stage}-{}", target.name),
        }
    }
}

/// One stage of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// The image that the stage belongs to: the planned one, or one that it builds on.
    pub image: String,
    pub(crate) stage: StageId,
    /// The stage's name in this plan: `configure`, after a checkpoint `configure-2`.
    pub label: String,
    /// The stage's key.
    pub key: Key,
    /// Whether the result is in the store and may be used.
    pub cached: bool,
    /// Whether only the shared store has the result, which a build would fetch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
    /// Why the stage runs; empty when it is cached.
    pub why: Vec<String>,
    /// The entry whose disk is the stage's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Key>,
    /// What of the stage it is.
    #[serde(skip)]
    pub part: Part,
    /// What the key was made of.
    #[serde(skip)]
    pub inputs: Inputs,
    /// Why what the store has of the stage cannot be used, where it has something.
    #[serde(skip)]
    pub unreadable: Option<Unreadable>,
    /// The new epoch that somebody asked for.
    #[serde(skip)]
    pub asked: Option<epoch::NewEpoch>,
}

/// Every stage of one image, in order, those of the images that it builds on first.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The recipe.
    pub resolved: Resolved,
    /// What the image is made on.
    pub base: PlanBase,
    /// The image's own stages.
    pub stages: Vec<Planned>,
    /// The recipe, what it includes, imgforge.yaml, and the files that this names for publishing.
    pub sources: Vec<Walked>,
    /// `--locked`: its stages fetch nothing else.
    pub lock: Option<Arc<Lock>>,
}

impl Planned {
    /// Whether it uses the network.
    pub fn fetches(&self) -> bool {
        self.part.fetches(self.stage.row())
    }

    /// What the recipe says of the stage, as a digest: without what is below it, its age, and a lock.
    pub fn seed(&self) -> Key {
        let below = self.stage.row().below;
        let seed = self.inputs.of_recipe(below);
        seed.unwrap_or_else(|_| self.key.clone())
    }
}

/// What a plan begins with: the plan of the image below, up to its sealed disk; a revision of a
/// published image; or a base system of its own.
pub type PlanBase = Base<Box<Plan>, Pin>;

impl Plan {
    /// The plan of the image that this one builds on.
    pub fn below(&self) -> Option<&Plan> {
        match &self.base {
            Base::Layer(below) => Some(below),
            Base::Published(_) | Base::Install(_) => None,
        }
    }

    /// What tells the image from every other one: NAME, or of several architectures `NAME:ARCH`.
    pub fn image(&self) -> &str {
        &self.resolved.id
    }

    /// The image's name, which its other architectures have, too.
    pub fn name(&self) -> &str {
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

    /// What binds a stage of the plan, where it has a lock.
    pub fn binding(&self, planned: &Planned, offline: bool) -> Option<Arc<Locked>> {
        let lock = self.lock.as_ref()?;
        lock.binding(&planned.image, &planned.label, offline)
    }

    /// All stages, those of the images below first.
    pub fn all(&self) -> Vec<&Planned> {
        let below = self.below().into_iter().flat_map(Plan::all);
        below.chain(&self.stages).collect()
    }

    /// The published image below everything, if there is one.
    pub fn pinned(&self) -> Option<&Pin> {
        match &self.base {
            Base::Layer(below) => below.pinned(),
            Base::Published(pin) => Some(pin),
            Base::Install(_) => None,
        }
    }

    /// Whether the image, or the one below everything, is made by an installer.
    pub fn runs_an_installer(&self) -> bool {
        match &self.base {
            Base::Layer(below) => below.runs_an_installer(),
            base => matches!(base, Base::Install(Install::VirtInstall(_))),
        }
    }

    /// Every file and directory that the keys of the whole chain are made of.
    pub fn read(&self) -> Vec<Walked> {
        let below = self.below().into_iter().flat_map(Plan::read);
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
