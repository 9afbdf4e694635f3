//! What `build --updated` makes again: images with fixes waiting, and all that is built on them.

mod tried;

use std::collections::{BTreeMap, BTreeSet};

use self::tried::{Made, Try};
use super::{Session, whole};
use crate::error::{Error, Result};
use crate::machine::Arch;
use crate::recipe::types::{Base, PublishedImage, Recipe};
use crate::repository::place;
use crate::stage::StageId;
use crate::time::now;
use crate::updates::{ImageUpdates, Place, Report, UNRATED, Update};

/// Images to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// All of them.
    pub images: Vec<String>,
    /// From which stage; the others follow what they are built on, or are made already.
    pub from: BTreeMap<String, StageId>,
    /// The fixes that wait for the images.
    fixes: BTreeMap<String, Vec<Update>>,
    /// Fixes for which nothing is built again, as builds came without them: a sentence for each image.
    pub kept_back: Vec<String>,
}

impl Rebuild {
    /// These images, as they are.
    pub fn plain(images: Vec<String>) -> Self {
        Rebuild {
            images,
            ..Rebuild::default()
        }
    }

    /// The fixes that its builds came without, a sentence for each image.
    pub fn lacking(&self, session: &Session, vars: &[(String, String)]) -> Vec<String> {
        let lacks = self.fixes.iter().filter_map(|(name, updates)| {
            let from = self.from.get(name).copied();
            let made = Made::of(session, vars, name, from.unwrap_or(StageId::Configure))?;
            made.lacks(name, updates, now())
        });
        lacks.collect()
    }
}

/// What is to be done about the fixes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// None wait, or builds cannot bring them.
    Nothing,
    /// What is built has them.
    Finish,
    /// It has to be built again.
    Build,
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

impl On {
    /// The first stage that brings packages of its own.
    fn begins(&self) -> StageId {
        match self {
            On::Nothing => StageId::Install,
            On::Image(_) | On::Published => StageId::Configure,
        }
    }
}

/// What a report could not judge of these images, a sentence each. Whether a newer version is a security fix does not
/// matter: it is built with anyway.
pub fn unjudged(report: &Report, names: &[String]) -> Vec<String> {
    let of = |image: &ImageUpdates| {
        let name = image.at.image.clone();
        let unread = image.unread.clone().into_iter();
        let unread = unread.filter(|why| why != UNRATED);
        unread.map(move |why| format!("{name} is not judged: {why}"))
    };
    let is_named = |image: &&ImageUpdates| {
        let mut names = names.iter();
        names.any(|name| whole::name(name) == image.at.image)
    };
    let images = report.images.iter().filter(is_named).flat_map(of);
    let all: BTreeSet<String> = images.chain(report.problems.iter().cloned()).collect();
    all.into_iter().collect()
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
    let below = publish.map(|channel| Published::by(session, vars, channel.as_deref(), &names));
    for name in &names {
        let on = match session.repo.load(name, vars) {
            Ok(resolved) => {
                let arch = resolved.recipe.machine.arch.as_str();
                let to = publish
                    .map(|channel| destination(session, &resolved.recipe, channel.as_deref()));
                archs.insert(name.clone(), (arch, to.flatten()));
                match resolved.base {
                    Base::Layer(parent) => On::Image(parent),
                    // Its steps run again by what the channel has then.
                    Base::Published(image) => match &below {
                        Some(below) => below.recipe_of(&image, resolved.recipe.machine.arch),
                        None => None,
                    }
                    .map_or(On::Published, On::Image),
                    Base::Install(_) => On::Nothing,
                }
            }
            Err(_) => On::Nothing,
        };
        recipes.insert(name.clone(), on);
    }
    let mut fixes = BTreeMap::new();
    for name in &names {
        let (arch, to) = archs
            .get(name)
            .map_or((None, None), |(arch, to)| (Some(*arch), to.as_ref()));
        let images = report.images.iter().filter(|image| {
            image.at.image == whole::name(name) && arch.is_none_or(|arch| image.at.arch == arch)
        });
        fixes.extend(waiting(images.collect(), to).map(|updates| (name.clone(), updates)));
    }
    let made: BTreeMap<&String, Made> = fixes
        .iter()
        .filter(|(_, updates)| !updates.is_empty())
        .filter_map(|(name, _)| {
            let from = recipes.get(name).map_or(StageId::Install, On::begins);
            Some((name, Made::of(session, vars, name, from)?))
        })
        .collect();
    let at = now();
    let needs = |name: &str| {
        let (name, updates) = fixes.get_key_value(name)?;
        Some(need(made.get(name), updates, at))
    };
    let is_asked = |name: &str| only.iter().any(|one| one == name);
    let mut rebuild = of(&recipes, &needs, &is_asked);
    let told = made.iter().filter(|(name, _)| is_asked(name));
    let told = told.filter(|(name, _)| !rebuild.images.contains(name));
    let lacks = told.filter_map(|(name, made)| made.lacks(name, fixes.get(*name)?, at));
    rebuild.kept_back = lacks.collect();
    fixes.retain(|name, _| rebuild.images.contains(name));
    rebuild.fixes = fixes;
    Ok(rebuild)
}

fn need(made: Option<&Made>, updates: &[Update], at: u64) -> Need {
    let Some(made) = made else {
        return match updates.is_empty() {
            true => Need::Nothing,
            false => Need::Build,
        };
    };
    let tries: Vec<Try> = updates.iter().map(|one| made.judge(one, at)).collect();
    match () {
        () if tries.contains(&Try::Due) => Need::Build,
        () if tries.contains(&Try::Has) => Need::Finish,
        () => Need::Nothing,
    }
}

/// Repository and channel.
type Destination = (String, String);

/// What a command publishes of recipes, by which others of its images are built on them.
pub(super) struct Published {
    images: BTreeMap<(Destination, String, Arch), String>,
    default_channels: BTreeMap<String, String>,
}

impl Published {
    /// What `names` become in this channel, as the command line has it.
    pub(super) fn by(
        session: &Session,
        vars: &[(String, String)],
        channel: Option<&str>,
        names: &[String],
    ) -> Self {
        let image = |name: &String| {
            let recipe = session.repo.load(name, vars).ok()?.recipe;
            let to = destination(session, &recipe, channel)?;
            let of = (to, whole::name(name).to_owned(), recipe.machine.arch);
            Some((of, name.clone()))
        };
        let root = session.repo.root();
        let default = |name: &String| {
            let place = place::find(&session.config, root, Some(name)).ok()?;
            Some((name.clone(), place.default_channel().to_owned()))
        };
        Published {
            images: names.iter().filter_map(image).collect(),
            default_channels: session
                .config
                .repositories
                .keys()
                .filter_map(default)
                .collect(),
        }
    }

    /// The recipe whose image a published one of this architecture becomes.
    pub(super) fn recipe_of(&self, published: &PublishedImage, arch: Arch) -> Option<String> {
        let PublishedImage { image, channel } = published;
        let repository = image
            .repository
            .as_ref()
            .filter(|_| image.revision.is_none())?;
        let channel = channel.as_ref().or(image.channel.as_ref());
        let channel = channel.or(self.default_channels.get(repository))?;
        let to = (repository.clone(), channel.clone());
        self.images.get(&(to, image.name.clone(), arch)).cloned()
    }
}

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

/// The fixes that wait for an image, by what channels have of it; nothing where none has it. Only the channel
/// counts where it would be published, if that has it: what another one lacks a promotion brings. Of a canary
/// the fixes are on their way.
fn waiting(mut images: Vec<&ImageUpdates>, to: Option<&Destination>) -> Option<Vec<Update>> {
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
    let updates = images.iter().flat_map(|image| &image.updates);
    let updates: BTreeSet<&Update> = updates.collect();
    Some(updates.into_iter().cloned().collect())
}

/// `needs` says what fixes an image needs; nothing of one that no channel has. `asked` says for which images
/// somebody asked.
fn of(
    recipes: &BTreeMap<String, On>,
    needs: &dyn Fn(&str) -> Option<Need>,
    asked: &dyn Fn(&str) -> bool,
) -> Rebuild {
    let waits = |name: &str| needs(name).map(|need| need != Need::Nothing);
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
        let on = recipes.get(name);
        let begin = on.map_or(StageId::Install, On::begins);
        let follows = match on {
            Some(On::Image(parent)) => {
                let parents = needs(parent);
                // Of one that no channel has nobody knows what it has: it is made again, too.
                if parents != Some(Need::Nothing) {
                    todo.push(parent);
                }
                // Else what is newer came with its own steps.
                matches!(parents, None | Some(Need::Build))
            }
            _ => false,
        };
        if !follows && needs(name) != Some(Need::Finish) {
            from.insert(name.to_owned(), begin);
        }
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
        ..Rebuild::default()
    }
}

#[cfg(test)]
mod tests;
