//! What `build --updated` makes again: images with fixes waiting, and all that is built on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Session, whole};
use crate::error::Result;
use crate::recipe::types::Base;
use crate::stage::StageId;
use crate::updates::Report;

/// Images to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// All of them.
    pub images: Vec<String>,
    /// From which stage; the others follow what they are built on.
    pub from: BTreeMap<String, StageId>,
}

/// What a recipe's image is made on.
enum On {
    /// Another recipe's image.
    Image(String),
    /// A published image, of a certain revision.
    Published,
    /// Nothing.
    Nothing,
}

/// Chooses by a report. A recipe that is wrong is chosen where its image has fixes waiting: its build says
/// what is wrong.
///
/// # Errors
/// When the recipe repository cannot be read.
pub fn choose(session: &Session, report: &Report, vars: &[(String, String)]) -> Result<Rebuild> {
    let names = session.repo.names()?;
    let mut recipes = BTreeMap::new();
    let mut archs = BTreeMap::new();
    for name in &names {
        let on = match session.repo.load(name, vars) {
            Ok(resolved) => {
                archs.insert(name.clone(), resolved.recipe.machine.arch.as_str());
                match resolved.base {
                    Base::Layer(parent) => On::Image(parent),
                    Base::Published(_) => On::Published,
                    Base::Install(_) => On::Nothing,
                }
            }
            Err(_) => On::Nothing,
        };
        recipes.insert(name.clone(), on);
    }
    let waits = |name: &str| {
        let arch = archs.get(name);
        let mut images = report.images.iter().filter(|image| {
            image.at.image == whole::name(name) && arch.is_none_or(|arch| image.at.arch == **arch)
        });
        let first = images.next()?;
        let any = !first.updates.is_empty() || images.any(|image| !image.updates.is_empty());
        Some(any)
    };
    Ok(of(&recipes, &waits))
}

/// `waits` says whether fixes wait for an image; nothing of one that no channel has.
fn of(recipes: &BTreeMap<String, On>, waits: &dyn Fn(&str) -> Option<bool>) -> Rebuild {
    let mut todo: Vec<&str> = recipes
        .keys()
        .map(String::as_str)
        .filter(|name| waits(name) == Some(true))
        .collect();
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    let mut from = BTreeMap::new();
    while let Some(name) = todo.pop() {
        if !chosen.insert(name) {
            continue;
        }
        let begin = match recipes.get(name) {
            Some(On::Image(parent)) => match waits(parent) {
                // It follows.
                Some(true) => None,
                // What is newer came with its own steps.
                Some(false) => Some(StageId::Configure),
                // Nobody knows what it has: it is made again, too.
                None => {
                    todo.push(parent);
                    None
                }
            },
            Some(On::Published) => Some(StageId::Configure),
            Some(On::Nothing) | None => Some(StageId::Install),
        };
        from.extend(begin.map(|stage| (name.to_owned(), stage)));
    }
    loop {
        let follows = recipes.iter().filter(|(name, on)| {
            let parent = match on {
                On::Image(parent) => parent.as_str(),
                _ => return false,
            };
            chosen.contains(parent) && !chosen.contains(name.as_str())
        });
        let more: Vec<&str> = follows.map(|(name, _)| name.as_str()).collect();
        if more.is_empty() {
            break;
        }
        chosen.extend(more);
    }
    Rebuild {
        images: chosen.into_iter().map(str::to_owned).collect(),
        from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(waiting: &[&str], quiet: &[&str]) -> (Vec<String>, Vec<String>) {
        let on = |name: &str| On::Image(name.into());
        let recipes = BTreeMap::from([
            ("base".to_owned(), On::Nothing),
            ("web".to_owned(), on("base")),
            ("shop".to_owned(), on("web")),
            ("other".to_owned(), On::Nothing),
            ("pinned".to_owned(), On::Published),
        ]);
        let waits = |name: &str| {
            let is = |list: &[&str]| list.contains(&name);
            is(waiting).then_some(true).or(is(quiet).then_some(false))
        };
        let Rebuild { images, from } = of(&recipes, &waits);
        let from = from.iter().map(|(name, stage)| format!("{name} {stage}"));
        (images, from.collect())
    }

    #[test]
    fn what_waits_and_what_is_built_on_it_is_made_again_and_nothing_else() {
        let (images, from) = choose(&["base", "web"], &["shop", "other"]);
        assert_eq!(images, ["base", "shop", "web"]);
        assert_eq!(from, ["base install"]);
        // Its own steps brought it.
        let (images, from) = choose(&["web"], &["base", "shop"]);
        assert_eq!(
            (images, from),
            (
                vec!["shop".into(), "web".into()],
                vec!["web configure".into()]
            )
        );
        // No channel has what it is built on.
        let (images, from) = choose(&["shop"], &["other"]);
        assert_eq!(images, ["base", "shop", "web"]);
        assert_eq!(from, ["base install"]);
        let (images, from) = choose(&["pinned"], &["base"]);
        assert_eq!(
            (images, from),
            (vec!["pinned".into()], vec!["pinned configure".into()])
        );
        assert_eq!(choose(&[], &["base", "web"]), (vec![], vec![]));
    }
}
