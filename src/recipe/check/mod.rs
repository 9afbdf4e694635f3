//! What a recipe means, checked when its shape is right: names, files, references, limits. Every
//! check reports and goes on.

mod answers;
mod arch;
mod install;
mod rest;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use super::config::Config;
use super::types::Recipe;
use crate::machine::Machine;
use crate::steps::{self, Step};
use crate::yaml::checker::{Checker, Role, Wants, at, bad_word};
use crate::yaml::node::Node;

/// Everything that the checks of a recipe look at.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where mistakes go, and where files are.
    pub checker: Checker<'a>,
    /// `imgforge.yaml`.
    pub config: &'a Config,
    /// What the base of the chain installs, as far as recipes tell.
    pub os: Option<&'a str>,
    /// The machine of the image below, if a recipe of this repository makes it.
    pub below: Option<&'a Machine>,
    /// Whether the recipe lists several architectures, of which this is one.
    pub listed: bool,
    /// Whether the recipe has `from` and `install`, right or wrong.
    pub has: (bool, bool),
}

impl<'a> Deref for Context<'a> {
    type Target = Checker<'a>;

    fn deref(&self) -> &Checker<'a> {
        &self.checker
    }
}

impl DerefMut for Context<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.checker
    }
}

/// Checks a recipe; `tree` is what it was read from.
pub fn recipe(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    rest::head(cx, recipe, tree);
    install::check(cx, recipe, tree);
    rest::machine(cx, recipe, tree);
    arch::check(cx, recipe, tree);
    rest::secrets(cx, recipe, tree);
    for (key, list) in [
        ("configure", &recipe.configure),
        ("instance", &recipe.instance),
    ] {
        steps(cx, recipe, key, list, tree.get(key));
    }
    rest::tail(cx, recipe, tree);
    rest::targets(cx, recipe, tree);
}

/// Checks a list of steps, which has the key `key` and is written at `node`.
fn steps(cx: &mut Context<'_>, recipe: &Recipe, key: &str, list: &[Step], node: Option<&Node>) {
    let mut cx = steps::Check {
        checker: &mut cx.checker,
        secrets: recipe.secrets.keys().map(String::as_str).collect(),
        instance: key == "instance",
        os: cx.os,
        users: BTreeMap::new(),
    };
    steps::check(&mut cx, list, node);
}
