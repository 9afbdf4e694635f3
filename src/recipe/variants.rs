//! `variants:` and a list of architectures: several images from one recipe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::resolve::Resolver;
use crate::error::{Error, Result};
use crate::machine::Arch;
use crate::text::nearest;
use crate::yaml::checker::bad_word;
use crate::yaml::node::{MapEntry, Node, Value};
use crate::yaml::problem::{Problem, Problems, list_words};
use crate::yaml::source::{FileId, Loc};
use crate::yaml::vars::{Var, bad_name};

/// Images that one recipe may make.
const MOST: usize = 256;

/// An image of a recipe file: the recipe's name, and what its variants make of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Name of the image: NAME, or NAME-VALUE.
    pub name: String,
    /// Its architecture, where the recipe lists several.
    pub arch: Option<Arch>,
    /// The recipe file.
    pub path: PathBuf,
    /// Variables that the variant sets.
    pub vars: Vec<(String, Var)>,
    /// Place of the recipe's `name`, or the beginning of the file.
    pub loc: Loc,
}

impl Image {
    /// What tells it from every other one: its name, and of several architectures `NAME:ARCH`.
    pub fn id(&self) -> String {
        match self.arch {
            Some(arch) => format!("{}:{}", self.name, arch.as_str()),
            None => self.name.clone(),
        }
    }

    /// Whether `word` names it: by its id, or by the name that several architectures have.
    pub fn is_named(&self, word: &str) -> bool {
        self.name == word || self.id() == word
    }

    /// Whether both claim one name, and not as two architectures of one recipe.
    pub fn is_twin_of(&self, other: &Image) -> bool {
        self.name == other.name && (self.path != other.path || self.arch == other.arch)
    }
}

/// The images of a recipe; without a `name` the file's name stands in.
pub fn images(problems: &mut Problems, path: &Path, tree: &Node) -> Vec<Image> {
    let name = tree.get("name").filter(|node| !node.is_null());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut images = vec![Image {
        name: name.and_then(Node::as_text).unwrap_or(&stem).to_owned(),
        arch: None,
        path: path.to_path_buf(),
        vars: vec![],
        loc: name.map_or(tree.loc, |node| node.loc),
    }];
    if let Some(variants) = tree.entry("variants") {
        images = expand(problems, images, variants);
    }
    let listed = architectures(problems, tree);
    if listed.is_empty() {
        return images;
    }
    let maps = ["variants", "vars"].into_iter();
    let named = maps.filter_map(|key| tree.get(key)).flat_map(Node::entries);
    for entry in named.filter(|entry| ["arch", "debian_arch"].contains(&&*entry.key)) {
        let text = format!("`{}` is set by the list of architectures", entry.key);
        problems.push(Problem::new(entry.key_loc, text).help("give it another name"));
    }
    let each = |image: &Image| {
        let image = image.clone();
        listed.iter().map(move |(arch, var)| {
            let mut vars = image.vars.clone();
            let debian = Var {
                text: arch.debian.into(),
                loc: var.loc,
            };
            vars.extend([("arch".into(), var.clone()), ("debian_arch".into(), debian)]);
            Image {
                arch: Some(*arch),
                vars,
                ..image.clone()
            }
        })
    };
    images.iter().flat_map(each).collect()
}

/// One image for each combination of values.
fn expand(problems: &mut Problems, mut images: Vec<Image>, variants: &MapEntry) -> Vec<Image> {
    if !matches!(variants.value.value, Value::Map(_)) {
        problems.push(
            Problem::new(
                variants.value.loc,
                format!("`variants` is a map, and this is {}", variants.value.kind()),
            )
            .help("write `variants: {release: [trixie, bookworm]}`"),
        );
        return images;
    }
    for axis in variants.value.entries() {
        if let Some(message) = bad_name(&axis.key) {
            problems.push(Problem::new(axis.key_loc, message));
        }
        let values = values(problems, &axis.key, &axis.value);
        if values.is_empty() {
            continue;
        }
        if images.len() * values.len() > MOST {
            problems.push(Problem::new(
                axis.key_loc,
                format!("the variants make more than {MOST} images"),
            ));
            break;
        }
        images = images
            .iter()
            .flat_map(|image| {
                values.iter().map(|value| {
                    let mut image = image.clone();
                    image.name = format!("{}-{}", image.name, value.text);
                    image.vars.push((axis.key.clone(), value.clone()));
                    image
                })
            })
            .collect();
    }
    images
}

/// The architectures of a list, each with its place; none where the recipe is for one.
fn architectures(problems: &mut Problems, tree: &Node) -> Vec<(Arch, Var)> {
    let mut all: Vec<(Arch, Var)> = vec![];
    let Some(Node {
        value: Value::Seq(items),
        loc,
        ..
    }) = listed(tree)
    else {
        return all;
    };
    if items.is_empty() {
        problems.push(Problem::new(*loc, "`arch` lists no architecture"));
    }
    for item in items {
        let text = item.as_text().unwrap_or_default();
        let names = || Arch::ALL.iter().map(|arch| arch.as_str());
        match Arch::named(text) {
            None => {
                let problem = Problem::new(item.loc, format!("there is no architecture `{text}`"));
                let known = format!("those that imgforge builds for are {}", list_words(names()));
                let problem = problem.did_you_mean(text, names());
                problems.push(problem.help(known));
            }
            Some(arch) if all.iter().any(|(known, _)| *known == arch) => {
                problems.push(Problem::new(item.loc, format!("`{text}` is listed twice")));
            }
            Some(arch) => all.push((
                arch,
                Var {
                    text: text.to_owned(),
                    loc: item.loc,
                },
            )),
        }
    }
    all
}

/// Refuses what fragments have put into the list of the recipe, whose file is `own`.
pub(super) fn keep_own(problems: &mut Problems, tree: &mut Node, own: FileId) {
    let machine = tree.get_mut("machine");
    let Some(list) = machine.and_then(|machine| machine.get_mut("arch")) else {
        return;
    };
    let Value::Seq(items) = &mut list.value else {
        return;
    };
    let others = items.iter().map(|item| item.loc);
    let mut places = std::iter::once(list.loc).chain(others);
    if let Some(loc) = places.find(|loc| loc.file != own) {
        let problem = Problem::new(loc, "a fragment has no list of architectures");
        problems.push(problem.help("the list belongs into the recipe that includes it"));
    }
    if list.loc.file == own {
        items.retain(|item| item.loc.file == own);
    }
}

/// The recipe's `machine.arch`, where it is a list.
fn listed(tree: &Node) -> Option<&Node> {
    let arch = tree.get("machine")?.get("arch")?;
    matches!(arch.value, Value::Seq(_)).then_some(arch)
}

/// Which of the images of a name one for the architecture `own` builds on; or what is wrong, and what
/// to write.
pub(super) fn parent<'a>(
    all: &[&'a Image],
    own: Option<&str>,
) -> Result<&'a Image, (String, String)> {
    let arch = own.and_then(Arch::named);
    let only = own.is_none() && all.len() == 1;
    let fits = |image: &&&Image| image.arch.is_none() || image.arch == arch || only;
    if let Some(image) = all.iter().find(fits) {
        return Ok(image);
    }
    let name = all.first().map_or("", |image| &image.name);
    let has = all.iter().filter_map(|image| Some(image.arch?.as_str()));
    let has = has.collect::<Vec<_>>().join(", ");
    let problem = match own {
        Some(own) => format!("`{name}` is not built for {own}"),
        None => format!("`{name}` is built for several architectures"),
    };
    let help = format!("write `machine: {{arch: [{has}]}}`, or one of them");
    Err((problem, help))
}

/// Gives the recipe of one architecture its word in the place of the list, and its values of variables
/// that have one for each.
pub(super) fn choose(problems: &mut Problems, tree: &mut Node, image: &Image) {
    let vars = tree.get_mut("vars").map(Node::entries_mut);
    for entry in vars.unwrap_or_default() {
        let (Some(arch), Value::Map(_)) = (image.arch, &entry.value.value) else {
            continue;
        };
        match entry.value.get(arch.as_str()).cloned() {
            Some(value) => entry.value = value,
            None => {
                let text = format!("`{}` has no value for {}", entry.key, arch.as_str());
                problems.push(Problem::new(entry.key_loc, text));
                entry.value = Node::text(entry.value.loc, "");
                entry.value.damaged = true;
            }
        }
    }
    let machine = tree.get_mut("machine");
    if let Some(list) = machine.and_then(|machine| machine.get_mut("arch"))
        && matches!(list.value, Value::Seq(_))
    {
        let word = image.vars.iter().find(|(name, _)| name == "arch");
        match (image.arch, word) {
            (Some(arch), Some((_, var))) => *list = Node::text(var.loc, arch.as_str()),
            // Nothing of the list is right, which was said.
            _ => {
                *list = Node::text(list.loc, Arch::DEFAULT.as_str());
                list.damaged = true;
            }
        }
    }
}

fn values(problems: &mut Problems, axis: &str, list: &Node) -> Vec<Var> {
    if list.items().is_empty() {
        problems.push(
            Problem::new(
                list.loc,
                format!("the variant `{axis}` is a list of values"),
            )
            .help(format!("write `{axis}: [one, other]`")),
        );
    }
    let mut seen = BTreeSet::new();
    let mut values = vec![];
    for item in list.items() {
        let Some(text) = item.as_text() else {
            let message = format!("a variant's value is a text, and this is {}", item.kind());
            problems.push(Problem::new(item.loc, message));
            continue;
        };
        if let Some(message) = bad_word(text, "a variant") {
            problems.push(Problem::new(item.loc, message));
        } else if !seen.insert(text) {
            problems.push(Problem::new(
                item.loc,
                format!("the value `{text}` is listed twice"),
            ));
        } else {
            values.push(Var {
                text: text.to_owned(),
                loc: item.loc,
            });
        }
    }
    values
}

/// Resolves images. Those of one name go to one place.
pub(super) fn resolve(resolver: &mut Resolver<'_>, images: &[Image]) {
    let mut places = BTreeMap::new();
    for image in images {
        let Some(resolved) = resolver.resolve(image) else {
            continue;
        };
        let publish = resolved.recipe.publish;
        let first = places.entry(&image.name).or_insert_with(|| publish.clone());
        if image.arch.is_some() && *first != publish {
            let node = resolved.tree.get("publish");
            let loc = node.map_or(image.loc, |node| node.loc);
            let problem = Problem::new(loc, "`publish` differs between the architectures");
            let problem = problem.help("write it without `arch` and `debian_arch`");
            resolver.reader.problems.push(problem);
        }
    }
}

/// The ids of what a word names; the word itself where that is nothing.
pub(super) fn named(word: &str, images: &[Image]) -> Vec<String> {
    let named = images.iter().filter(|image| image.is_named(word));
    let mut ids: Vec<String> = named.map(Image::id).collect();
    ids.dedup();
    match ids.is_empty() {
        true => vec![word.to_owned()],
        false => ids,
    }
}

/// The id of the one image that a word names.
///
/// # Errors
/// Of kind usage, when there are several, for as many architectures.
pub(super) fn one(word: &str, images: &[Image]) -> Result<String> {
    match named(word, images).as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let error = Error::usage(format!("`{word}` is built for several architectures"));
            let ids = list_words(several.iter().map(|id| &**id));
            Err(error.hint(format!("name one of {ids}")))
        }
    }
}

/// What is meant by a recipe's file that is not there.
pub fn instead_of(file: &Path, images: &[Image]) -> String {
    let stem = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let known: Vec<(String, &Path)> = images
        .iter()
        .map(|one| (stem(&one.path), &*one.path))
        .collect();
    let near = nearest(&stem(file), known.iter().map(|(stem, _)| stem.as_str()));
    match near.and_then(|near| known.iter().find(|(stem, _)| stem == near)) {
        Some((_, path)) => format!("did you mean {}?", path.display()),
        None => {
            "`imgforge list` shows the images, which can be named instead of their files".into()
        }
    }
}

/// That no recipe makes an image of this name, and what is meant.
pub fn unknown(name: &str, images: &[Image]) -> Error {
    if let Some((plain, arch)) = name.split_once(':') {
        let ids = named(plain, images);
        if ids != [plain] || images.iter().any(|image| image.name == plain) {
            let ids = list_words(ids.iter().map(|id| &**id));
            return Error::usage(format!("`{plain}` is not listed for {arch}"))
                .hint(format!("name one of {ids}"));
        }
    }
    let error = Error::usage(format!("there is no recipe `{name}`"));
    let names = || images.iter().map(|image| image.name.as_str());
    let path = Path::new(name);
    let real = path.canonicalize();
    let is_its = |image: &&Image| match &real {
        Ok(real) => image.path.canonicalize().is_ok_and(|path| path == *real),
        Err(_) => image.path.file_name() == path.file_name(),
    };
    let mut made: Vec<&str> = images
        .iter()
        .filter(is_its)
        .map(|image| &*image.name)
        .collect();
    made.dedup();
    if !made.is_empty() {
        return error.hint(format!("name what that file makes: {}", list_words(made)));
    }
    match nearest(name, names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if images.is_empty() => error.hint("recipes/ has no recipe yet"),
        None => error.hint(format!("the recipes are {}", list_words(names()))),
    }
}
