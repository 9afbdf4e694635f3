//! What a verdict rests on beside the disk: the gate and the scan are made of it, and so are the keys
//! of the stages that ask them.

use std::collections::{BTreeMap, BTreeSet};

use super::subject::hosts;
use crate::address::Address;
use crate::machine::Machine;
use crate::recipe::types::{Check, Mirrors, Secret};
use crate::recipe::{Config, Resolved};
use crate::stage::inputs as shared;
use crate::store::inputs::Inputs;
use crate::{installers, runner, scan};

/// What the recipe and this host say about the gate and the scan. Whoever makes a key of it takes it
/// apart whole, so that nothing new is forgotten there.
#[derive(Debug, Clone)]
pub struct Basis<'a> {
    /// What is asked of the gate.
    pub check: &'a Check,
    /// The machine that the clones are.
    pub machine: &'a Machine,
    /// The variables that the gate's commands see.
    pub vars: &'a BTreeMap<String, String>,
    /// The secrets that the scan looks for.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// Where packages come from.
    pub mirrors: &'a Mirrors,
    /// The hosts that builds here may fetch from, which an image need not know. Those of the host's own
    /// apt are asked for by the scan only: making a key starts no program.
    pub hosts: BTreeSet<String>,
}

impl<'a> Basis<'a> {
    /// For a recipe, with the mirrors of imgforge.yaml.
    pub fn of(resolved: &'a Resolved, config: &Config) -> Self {
        let recipe = &resolved.recipe;
        let listed = config.mirrors.values().flatten().map(Address::as_str);
        let listed = listed.chain([recipe.mirrors.build.as_str()]);
        Basis {
            check: &recipe.check,
            machine: &recipe.machine,
            vars: &resolved.vars,
            secrets: &recipe.secrets,
            mirrors: &recipe.mirrors,
            hosts: listed.flat_map(hosts).collect(),
        }
    }

    /// Adds what the scan's verdict rests on, and that of the gate if guests boot.
    pub fn add_to(&self, inputs: &mut Inputs, boots: bool) {
        let Basis {
            check,
            machine,
            vars,
            secrets,
            mirrors,
            hosts,
        } = self;
        inputs.value("the scan", scan::VERSION);
        inputs.value("traces of installers", installers::traces());
        inputs.value("mirrors", mirrors);
        inputs.value("mirrors of imgforge.yaml", hosts);
        shared::secrets(inputs, secrets);
        inputs.fields("machine", machine);
        if boots {
            inputs.value("the runner", runner::version());
            inputs.fields("check", check);
            shared::variables(inputs, vars);
        } else {
            inputs.value("check.allow", &check.allow);
        }
    }
}
