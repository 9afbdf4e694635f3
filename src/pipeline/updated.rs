//! What `build --updated` makes again: images with fixes waiting, and all that is built on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Session, whole};
use crate::error::{Error, Result};
use crate::recipe::types::{Base, Recipe};
use crate::repository::place;
use crate::stage::StageId;
use crate::updates::{ImageUpdates, Place, Report};

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

/// What a report could not judge, a sentence each.
pub fn unjudged(report: &Report) -> Vec<String> {
    let of = |image: &ImageUpdates| {
        let name = image.at.image.clone();
        let unread = image.unread.clone().into_iter();
        unread.map(move |why| format!("{name} is not judged: {why}"))
    };
    let images = report.images.iter().flat_map(of);
    images.chain(report.problems.iter().cloned()).collect()
}

/// Refuses names of which a report says nothing.
///
/// # Errors
/// When no channel has such an image.
pub fn have_channels(report: &Report, only: &[String]) -> Result<()> {
    let has = |name: &&String| {
        let mut images = report.images.iter();
        images.any(|image| image.at.image == whole::name(name))
    };
    match only.iter().find(|name| !has(name)) {
        Some(name) => Err(
            Error::usage(format!("no channel has an image `{}`", whole::name(name)))
                .hint("`imgforge status` shows what channels have"),
        ),
        None => Ok(()),
    }
}

/// Chooses among the images `only` by a report of all, for the channel that `publish` names, as the command
/// line has it. A recipe that is wrong is chosen where its image has fixes waiting: its build says what is wrong.
///
/// # Errors
/// When the recipe repository cannot be read.
pub fn choose(
    session: &Session,
    report: &Report,
    (vars, publish): (&[(String, String)], Option<&Option<String>>),
    only: &[String],
) -> Result<Rebuild> {
    let names = session.repo.names()?;
    let mut recipes = BTreeMap::new();
    let mut archs = BTreeMap::new();
    for name in &names {
        let on = match session.repo.load(name, vars) {
            Ok(resolved) => {
                let arch = resolved.recipe.machine.arch.as_str();
                let to = publish
                    .map(|channel| destination(session, &resolved.recipe, channel.as_deref()));
                archs.insert(name.clone(), (arch, to.flatten()));
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
        let (arch, to) = archs
            .get(name)
            .map_or((None, None), |(arch, to)| (Some(*arch), to.as_ref()));
        let images = report.images.iter().filter(|image| {
            image.at.image == whole::name(name) && arch.is_none_or(|arch| image.at.arch == arch)
        });
        wait(images.collect(), to)
    };
    Ok(of(&recipes, &waits, &|name| {
        only.iter().any(|one| one == name)
    }))
}

/// Repository and channel.
type Destination = (String, String);

/// Where an image of a recipe would be published; none where its build says what is wrong.
fn destination(session: &Session, recipe: &Recipe, channel: Option<&str>) -> Option<Destination> {
    let root = session.repo.root();
    let publish = recipe.publish.as_ref();
    let asked = publish.and_then(|publish| publish.repository.as_deref());
    let place = place::find(&session.config, root, asked).ok()?;
    let own = publish.and_then(|publish| publish.channel.as_deref());
    let channel = channel.or(own).unwrap_or(place.default_channel());
    Some((place.name.to_owned(), channel.to_owned()))
}

/// Whether fixes wait for an image, by what channels have of it; nothing where none has it. Only the channel
/// counts where it would be published, if that has it: what another one lacks a promotion brings. Of a canary
/// the fixes are on their way.
fn wait(mut images: Vec<&ImageUpdates>, to: Option<&Destination>) -> Option<bool> {
    let is_there = |at: &Place| {
        to.is_some_and(|(repository, channel)| {
            at.repository == *repository && at.channel == *channel
        })
    };
    if images.iter().any(|image| is_there(&image.at)) {
        images.retain(|image| is_there(&image.at));
    }
    let channel = |place: &Place| Place {
        revision: None,
        canary: true,
        ..place.clone()
    };
    let canaries = images.iter().filter(|image| image.at.canary);
    let canaries: BTreeSet<Place> = canaries
        .map(|image| image.at.clone())
        .map(|at| channel(&at))
        .collect();
    images.retain(|image| image.at.canary || !canaries.contains(&channel(&image.at)));
    images.first()?;
    Some(images.iter().any(|image| !image.updates.is_empty()))
}

/// `waits` says whether fixes wait for an image; nothing of one that no channel has. `asked` says for which
/// images somebody asked.
fn of(
    recipes: &BTreeMap<String, On>,
    waits: &dyn Fn(&str) -> Option<bool>,
    asked: &dyn Fn(&str) -> bool,
) -> Rebuild {
    let mut todo: Vec<&str> = recipes
        .keys()
        .map(String::as_str)
        .filter(|name| asked(name) && waits(name) == Some(true))
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
                Some(true) => {
                    todo.push(parent);
                    None
                }
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
    use crate::updates::Update;

    fn choose(waiting: &[&str], quiet: &[&str]) -> (Vec<String>, Vec<String>) {
        choose_of(waiting, quiet, &|_| true)
    }

    fn choose_of(
        waiting: &[&str],
        quiet: &[&str],
        asked: &dyn Fn(&str) -> bool,
    ) -> (Vec<String>, Vec<String>) {
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
        let Rebuild { images, from } = of(&recipes, &waits, asked);
        let from = from.iter().map(|(name, stage)| format!("{name} {stage}"));
        (images, from.collect())
    }

    #[test]
    fn what_is_on_its_way_or_elsewhere_is_not_built_again() {
        let image = |channel: &str, canary: bool, pending: usize| ImageUpdates {
            at: Place {
                image: "web".into(),
                arch: "x86_64".into(),
                repository: "main".into(),
                channel: channel.into(),
                revision: Some(1),
                canary,
            },
            looked: 0,
            packages: 1,
            updates: vec![Update::default(); pending],
            advisories: vec![],
            unread: vec![],
        };
        let to = Some(("main".to_owned(), "testing".to_owned()));
        for (images, to, waits) in [
            (vec![image("stable", false, 1)], None, Some(true)),
            (vec![image("stable", false, 0)], None, Some(false)),
            (vec![], None, None),
            (
                vec![image("stable", false, 1), image("stable", true, 0)],
                None,
                Some(false),
            ),
            (
                vec![image("stable", false, 1), image("stable", true, 1)],
                None,
                Some(true),
            ),
            (
                vec![image("stable", false, 1), image("testing", false, 0)],
                None,
                Some(true),
            ),
            (
                vec![image("stable", false, 1), image("testing", false, 0)],
                to.clone(),
                Some(false),
            ),
            (vec![image("stable", false, 1)], to, Some(true)),
        ] {
            assert_eq!(
                wait(images.iter().collect(), to.as_ref()),
                waits,
                "{images:?}"
            );
        }
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
        // Somebody asked for one: what has to be made again for it, and nothing else.
        let only = |name: &'static str| move |other: &str| other == name;
        let (images, from) = choose_of(&["other", "web"], &["base", "shop"], &only("web"));
        assert_eq!(images, ["shop", "web"]);
        assert_eq!(from, ["web configure"]);
        let (images, from) = choose_of(&["base", "other", "web"], &["shop"], &only("web"));
        assert_eq!(images, ["base", "shop", "web"]);
        assert_eq!(from, ["base install"]);
    }
}
