//! What a verdict rests on beside the disk: the gate and the scan are made of it, and so are the keys
//! of the stages that ask them.

use std::collections::{BTreeMap, BTreeSet};

use super::subject::hosts;
use crate::recipe::types::{Check, Machine, Mirrors, Secret};
use crate::recipe::{Config, Resolved};

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
        let listed = config.mirrors.values().flatten().map(String::as_str);
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
}
