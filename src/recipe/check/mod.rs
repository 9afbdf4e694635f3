//! What a recipe means, checked when its shape is right: names, files, references, limits. Every
//! check reports and goes on.

mod answers;
mod install;
mod rest;
mod steps;

use std::ops::{Deref, DerefMut};

pub use steps::DISTRIBUTIONS;

use super::config::Config;
use super::repo::SealWords;
use super::types::{Install, Recipe};
use crate::units::Size;
use crate::yaml::checker::{Checker, Role, Wants, at, bad_word, is_url};
use crate::yaml::node::Node;

/// Everything that the checks of a recipe look at.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where mistakes go, and where files are.
    pub checker: Checker<'a>,
    /// `imgforge.yaml`.
    pub config: &'a Config,
    /// What `seal.operations` may say.
    pub seal_words: &'a SealWords,
    /// How the base of the chain is made, as far as recipes tell.
    pub install: Option<&'a Install>,
    /// The disk of the image below, if a recipe of this repository makes it.
    pub below: Option<Size>,
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
    rest::mirrors(cx, recipe, tree);
    rest::secrets(cx, recipe, tree);
    for (key, list) in [
        ("configure", &recipe.configure),
        ("instance", &recipe.instance),
    ] {
        steps::check(cx, recipe, key, list, tree.get(key));
    }
    rest::tail(cx, recipe, tree);
    rest::targets(cx, recipe, tree);
}
