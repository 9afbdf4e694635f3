//! A recipe repository: a directory with `recipes/` and, at its root, `imgforge.yaml`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::config::{self, Config};
use super::resolve::{Resolved, Resolver};
use super::variants::{self, Image};
use super::{desugar, obeyed, schema};
use crate::error::{Error, Result};
use crate::host::ours::Owners;
use crate::yaml::include::{Reader, Texts};
use crate::yaml::node::{Node, Value};
use crate::yaml::problem::{Problem, Problems};
use crate::yaml::walk;

/// Folders of recipes may nest so deep.
const MAX_FOLDERS: usize = 8;

/// A recipe repository. A file of it is read once: what changes later is for the next command.
#[derive(Debug, Clone)]
pub struct Repo {
    root: PathBuf,
    texts: Texts,
    /// All images, once they were read.
    images: Arc<OnceLock<Vec<Image>>>,
}

impl Repo {
    /// Finds the repository that `dir` lies in: the nearest directory with `imgforge.yaml` or
    /// `recipes/`, going up.
    ///
    /// # Errors
    /// Of kind usage, when there is none; as [`Repo::find`].
    pub fn open(dir: &Path) -> Result<Repo> {
        Self::open_trusting(dir, &[])
    }

    /// As [`Repo::open`]; what lies in one of `trusted` is obeyed whoever may write it.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn open_trusting(dir: &Path, trusted: &[PathBuf]) -> Result<Repo> {
        let none = |why: String| {
            Error::usage(why)
                .hint("`imgforge init DIR` makes a recipe repository; -C DIR names one")
        };
        dir.canonicalize()
            .map_err(|error| none(format!("{} cannot be opened: {error}", dir.display())))?;
        Self::find(dir, trusted)?.ok_or_else(|| {
            none(format!(
                "{} is not in a recipe repository: no imgforge.yaml and no recipes/ here or above",
                dir.display()
            ))
        })
    }

    /// The repository that `dir` lies in, if it lies in one.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host), when others could have written it and it is none
    /// of `trusted`: it is neither obeyed, nor passed over for one further up, or for none.
    pub fn find(dir: &Path, trusted: &[PathBuf]) -> Result<Option<Repo>> {
        let start = dir.canonicalize().unwrap_or_default();
        let root = start
            .ancestors()
            .find(|dir| dir.join(config::FILE).is_file() || dir.join("recipes").is_dir());
        let Some(root) = root else { return Ok(None) };
        obeyed::check(root, trusted, &Owners::obeyed())?;
        Ok(Some(Self::at(root.to_path_buf())))
    }

    /// A recipe that lies in no repository: its folder is taken for one.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn around(file: &Path) -> Result<Repo> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let root = dir.canonicalize().map_err(|error| {
            Error::usage(format!("{} cannot be opened: {error}", dir.display()))
        })?;
        Ok(Self::at(root))
    }

    fn at(root: PathBuf) -> Repo {
        Repo {
            root,
            texts: Texts::default(),
            images: Arc::default(),
        }
    }

    /// The repository's root, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a walk of a recipe's file, a fragment or `imgforge.yaml` would have found when it was
    /// read; nothing where it was not there.
    pub fn found(&self, path: &Path) -> Vec<(String, String)> {
        let found = self.texts.found(path).into_iter();
        found.map(|found| (String::new(), found)).collect()
    }

    /// What `imgforge.yaml` says; defaults where there is none.
    ///
    /// # Errors
    /// Of kind usage, with every mistake in the file.
    pub fn config(&self) -> Result<Config> {
        let mut reader = Reader::new(&self.root, &self.texts);
        let (config, _) = config::read(&mut reader, &self.root);
        reader.problems.or(Some(config))
    }

    /// What tells each image from all others, as [`Image::id`], variants expanded, sorted. Files that cannot be read count under
    /// their file's name.
    ///
    /// # Errors
    /// Of kind usage, when `recipes/` is missing.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.images()?.iter().map(Image::id).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The images that a word names: all of a name, or the one of `NAME:ARCH`; the word itself where
    /// there is none.
    pub fn named(&self, word: &str) -> Vec<String> {
        variants::named(word, self.images().unwrap_or_default())
    }

    /// The images that words name, each once.
    ///
    /// # Errors
    /// Of kind usage, when there is no recipe of one of the names.
    pub fn all_named(&self, words: &[String]) -> Result<Vec<String>> {
        let images = self.images()?;
        let mut all: Vec<String> = vec![];
        for word in words {
            if !images.iter().any(|image| image.is_named(word)) {
                return Err(variants::unknown(word, images));
            }
            for id in variants::named(word, images) {
                if !all.contains(&id) {
                    all.push(id);
                }
            }
        }
        Ok(all)
    }

    /// The image that a word names.
    ///
    /// # Errors
    /// Of kind usage, when there are several, for as many architectures.
    pub fn one(&self, word: &str) -> Result<String> {
        variants::one(word, self.images().unwrap_or_default())
    }

    /// The file that a word of the command line means: a file, or the recipe of an image.
    ///
    /// # Errors
    /// Of kind usage, when it is neither.
    pub fn file_of(&self, word: &Path) -> Result<PathBuf> {
        let is_name = word.extension().is_none_or(|end| end != "yaml");
        match word.to_str().filter(|name| is_name && !name.contains('/')) {
            Some(name) if !word.is_file() => self.find_image(name).map(|image| image.path),
            _ => Ok(word.to_path_buf()),
        }
    }

    /// Refuses what is the name of no image, and says what is meant.
    ///
    /// # Errors
    /// Of kind usage, when there is no recipe of that name.
    pub fn know(&self, name: &str) -> Result<()> {
        self.find_image(name).map(drop)
    }

    fn find_image(&self, name: &str) -> Result<Image> {
        let images = self.images()?;
        let found = images.iter().find(|image| image.is_named(name)).cloned();
        found.ok_or_else(|| variants::unknown(name, images))
    }

    /// Reads, resolves and checks the recipe of an image, with variables of the command line.
    ///
    /// # Errors
    /// Of kind usage: no such image, several, or all mistakes of the recipe and of what it builds on.
    pub fn load(&self, name: &str, vars: &[(String, String)]) -> Result<Resolved> {
        let images = self.images()?;
        let id = variants::one(name, images)?;
        let mut resolver = self.resolver(images, vars);
        let mut matching = images.iter().filter(|image| image.id() == id);
        let Some(image) = matching.next() else {
            return Err(variants::unknown(name, images));
        };
        if let Some(twin) = matching.next() {
            let twin = resolver.reader.shown(&twin.path);
            let first = resolver.reader.shown(&image.path);
            return Err(
                Error::usage(format!("two recipes make `{name}`: {first} and {twin}"))
                    .hint("give one of them another `name`"),
            );
        }
        let resolved = resolver.resolve(image);
        resolver.finish(resolved)
    }

    /// Every mistake in every recipe, fragment and in `imgforge.yaml`.
    ///
    /// # Errors
    /// Of kind usage, when `recipes/` is missing.
    pub fn validate_all(&self, vars: &[(String, String)]) -> Result<Problems> {
        let images = self.images()?;
        let mut resolver = self.resolver(images, vars);
        variants::resolve(&mut resolver, images);
        for path in files(&self.recipes(), true) {
            fragment(&mut resolver.reader, &path);
        }
        let mut problems = resolver.reader.problems;
        twins(&mut problems, &self.reread(images));
        Ok(problems)
    }

    /// Every mistake in these files: recipes, fragments or `imgforge.yaml`.
    ///
    /// # Errors
    /// Of kind usage, when `recipes/` is missing or a file does not exist.
    pub fn validate_files(&self, files: &[PathBuf], vars: &[(String, String)]) -> Result<Problems> {
        let images = self.images().unwrap_or_default();
        let mut resolver = self.resolver(images, vars);
        for file in files {
            let path = file.canonicalize().map_err(|error| {
                Error::usage(format!("{} cannot be read: {error}", file.display()))
                    .hint(variants::instead_of(file, images))
            })?;
            if path == self.root.join(config::FILE) {
                continue;
            }
            if is_fragment(path.strip_prefix(self.recipes()).unwrap_or(Path::new(""))) {
                fragment(&mut resolver.reader, &path);
                continue;
            }
            let made = images_of(&mut resolver.reader, &path);
            variants::resolve(&mut resolver, &made);
        }
        Ok(resolver.reader.problems)
    }

    fn recipes(&self) -> PathBuf {
        self.root.join("recipes")
    }

    fn resolver<'a>(&'a self, images: &'a [Image], vars: &[(String, String)]) -> Resolver<'a> {
        Resolver::new(&self.root, images, vars, &self.texts)
    }

    /// All images of all recipe files, read once; mistakes are for others to report.
    fn images(&self) -> Result<&[Image]> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let folder = self.recipes();
        if !folder.is_dir() {
            return Err(
                Error::usage(format!("there is no folder {}", folder.display()))
                    .hint("`imgforge init DIR` makes a recipe repository"),
            );
        }
        let mut reader = Reader::new(&self.root, &self.texts);
        let files = files(&folder, false);
        let images = files.iter().flat_map(|path| images_of(&mut reader, path));
        let images: Vec<Image> = images.collect();
        Ok(self.images.get_or_init(|| images))
    }

    /// The images with a reader that knows their texts, for drawing.
    fn reread(&self, images: &[Image]) -> (Reader, Vec<Image>) {
        let mut reader = Reader::new(&self.root, &self.texts);
        let mut paths: Vec<&PathBuf> = images.iter().map(|image| &image.path).collect();
        paths.dedup();
        let images = paths
            .into_iter()
            .flat_map(|path| images_of(&mut reader, path))
            .collect();
        (reader, images)
    }
}

fn images_of(reader: &mut Reader, path: &Path) -> Vec<Image> {
    match reader.parse(path, None) {
        Some((_, Some(tree))) => variants::images(&mut reader.problems, path, &tree),
        Some((file, None)) => vec![nameless(path, file.start())],
        None => {
            let shown = reader.shown(path);
            let at = reader.problems.sources.add(shown, Some(path), "").start();
            vec![nameless(path, at)]
        }
    }
}

fn nameless(path: &Path, loc: crate::yaml::source::Loc) -> Image {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Image {
        name: stem.into_owned(),
        arch: None,
        path: path.to_path_buf(),
        vars: vec![],
        loc,
    }
}

/// Reports images of one name.
fn twins(problems: &mut Problems, (reader, images): &(Reader, Vec<Image>)) {
    for (index, image) in images.iter().enumerate() {
        let Some(first) = images[..index].iter().find(|other| image.is_twin_of(other)) else {
            continue;
        };
        let mut place = |image: &Image| {
            let source = reader.problems.sources.get(image.loc.file);
            let file =
                problems
                    .sources
                    .add(source.name.clone(), source.path.as_deref(), &source.text);
            file.range(image.loc.start, image.loc.end)
        };
        let (at, other) = (place(image), place(first));
        problems.push(
            Problem::new(at, format!("two recipes make `{}`", image.name)).also(other, "the other"),
        );
    }
}

/// Checks a fragment by itself: its shape, not its values.
fn fragment(reader: &mut Reader, path: &Path) {
    if reader.has_read(path) {
        return;
    }
    let Some(written) = reader.read(path) else {
        return;
    };
    let mut tree = written.tree;
    let loc = tree.loc;
    blur(&mut tree);
    for key in ["name", "variants"] {
        if let Some(entry) = tree.remove(key) {
            reader.problems.push(
                Problem::new(entry.key_loc, format!("a fragment has no `{key}`"))
                    .help(format!("`{key}` belongs into the recipe that includes it")),
            );
        }
    }
    tree.set(crate::yaml::node::MapEntry {
        key: "name".into(),
        key_loc: loc,
        value: Node::text(loc, "fragment"),
    });
    desugar::recipe(&mut reader.problems, &mut tree);
    walk::check(&mut reader.problems, &mut tree, schema::long());
}

/// Values with variables may become anything: nothing is said about them.
fn blur(node: &mut Node) {
    if let Value::Scalar { text, .. } = &node.value {
        node.damaged |= text.contains("{{");
    }
    node.items_mut().iter_mut().for_each(blur);
    node.entries_mut()
        .iter_mut()
        .for_each(|entry| blur(&mut entry.value));
}

fn is_fragment(relative: &Path) -> bool {
    relative
        .components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with('_'))
}

/// The YAML files below a folder, sorted: recipes, or only the fragments.
fn files(folder: &Path, fragments: bool) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((dir, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && depth < MAX_FOLDERS && !path.is_symlink() {
                folders.push((path, depth + 1));
            } else if path.extension().is_some_and(|end| end == "yaml") {
                found.push(path);
            }
        }
    }
    found.retain(|path| is_fragment(path.strip_prefix(folder).unwrap_or(path)) == fragments);
    found.sort();
    found
}
