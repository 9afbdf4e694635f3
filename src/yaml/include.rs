//! `include:`: fragments under `recipes/`, merged below the file that names them. Maps merge,
//! lists append, scalars override.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::beneath;
use super::node::{MapEntry, Node, Value};
use super::parse;
use super::problem::{Problem, Problems};
use super::source::{FileId, Loc};
use crate::digest;
use crate::mutex::Unpoisoned as _;

/// Fragments may include fragments, so deep.
const MAX_DEPTH: usize = 16;
/// Values of a recipe with all that it includes.
const MAX_NODES: usize = 50_000;
/// Keys that only a recipe has.
const RECIPE_ONLY: &[&str] = &["name", "variants"];

/// A file with what it includes.
#[derive(Debug, Clone)]
pub struct Written {
    /// The merged tree, without `include`.
    pub tree: Node,
    /// The file itself.
    pub file: FileId,
    /// The files it includes, directly or not, each once.
    pub included: Vec<FileId>,
}

/// The texts of a repository, by path: each is read once, by whoever needs it first. What is parsed,
/// today or in an hour, is what keys, commits and provenance name.
#[derive(Debug, Clone, Default)]
pub struct Texts(Arc<Mutex<HashMap<PathBuf, Result<Text, String>>>>);

/// A text, and what a walk of its file tells of these very bytes.
#[derive(Debug, Clone)]
struct Text {
    text: Arc<str>,
    found: String,
}

impl Texts {
    fn read(&self, path: &Path) -> Result<Text, String> {
        let mut known = self.0.lock().unpoisoned();
        let read = || {
            let (text, found) = read_found(path)?;
            let text = text.into();
            Ok(Text { text, found })
        };
        known.entry(path.to_owned()).or_insert_with(read).clone()
    }

    /// What a walk of the file would have found when it was read; nothing of one that was not.
    pub fn found(&self, path: &Path) -> Option<String> {
        let known = self.0.lock().unpoisoned();
        Some(known.get(path)?.as_ref().ok()?.found.clone())
    }
}

/// Reads files of one repository, each once.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    texts: Texts,
    /// What is wrong, and the texts.
    pub problems: Problems,
    parsed: HashMap<PathBuf, Option<(FileId, Option<Node>)>>,
}

impl Reader {
    /// A reader for the repository at `root`, which takes what was read before.
    pub fn new(root: &Path, texts: &Texts) -> Self {
        Reader {
            root: root.to_path_buf(),
            texts: texts.clone(),
            problems: Problems::default(),
            parsed: HashMap::new(),
        }
    }

    /// Whether a file was read already.
    pub fn has_read(&self, path: &Path) -> bool {
        self.parsed.contains_key(path)
    }

    /// The path that people see: relative to the root if it lies below.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// Reads and parses a file; `None` if it cannot be read. Who names it (`from`) gets the
    /// problem, else the file itself.
    pub fn parse(&mut self, path: &Path, from: Option<Loc>) -> Option<(FileId, Option<Node>)> {
        if let Some(known) = self.parsed.get(path) {
            return known.clone();
        }
        let name = self.shown(path);
        let inside = match path.strip_prefix(&self.root) {
            Ok(named) => beneath::resolve(&self.root, named).map(drop),
            Err(_) => Ok(()),
        };
        let parsed = match inside.and_then(|()| self.texts.read(path)) {
            Ok(Text { text, .. }) => {
                let file = self.problems.sources.add(name, Some(path), &text);
                Some((file, parse::parse(&mut self.problems, file)))
            }
            Err(why) => {
                let at = from.unwrap_or_else(|| {
                    self.problems
                        .sources
                        .add(name.clone(), Some(path), "")
                        .start()
                });
                self.problems
                    .push(Problem::new(at, format!("{name} cannot be read: {why}")));
                None
            }
        };
        self.parsed.insert(path.to_path_buf(), parsed.clone());
        parsed
    }

    /// Reads a recipe and everything it includes.
    pub fn read(&mut self, path: &Path) -> Option<Written> {
        let mut included = vec![];
        let (file, tree) = self.merged(path, None, &mut vec![], &mut included)?;
        Some(Written {
            tree: tree?,
            file,
            included,
        })
    }

    fn merged(
        &mut self,
        path: &Path,
        from: Option<Loc>,
        chain: &mut Vec<PathBuf>,
        included: &mut Vec<FileId>,
    ) -> Option<(FileId, Option<Node>)> {
        let (file, tree) = self.parse(path, from)?;
        let Some(mut tree) = tree else {
            return Some((file, None));
        };
        if !matches!(tree.value, Value::Map(_)) {
            let message = format!("a recipe is a map of keys, and this is {}", tree.kind());
            self.problems.push(Problem::new(tree.loc, message));
            return Some((file, None));
        }
        if from.is_some() {
            // A fragment that two others include counts once, so that its lists do.
            if included.contains(&file) {
                return None;
            }
            self.check_fragment(&tree);
            included.push(file);
        }
        let Some(include) = tree.remove("include") else {
            return Some((file, Some(tree)));
        };
        chain.push(path.to_path_buf());
        let mut base = Node::map(tree.loc);
        for (target, loc) in self.targets(&include) {
            if chain.contains(&target) || chain.len() >= MAX_DEPTH {
                let shown = self.shown(&target);
                let message = format!("{shown} includes itself");
                let chain: Vec<String> = chain.iter().map(|path| self.shown(path)).collect();
                self.problems.push(
                    Problem::new(loc, message).label(format!("by way of {}", chain.join(" → "))),
                );
                continue;
            }
            if let Some((_, Some(fragment))) = self.merged(&target, Some(loc), chain, included) {
                overlay(&mut base, fragment);
            }
            if count(&base) > MAX_NODES {
                let message = format!("the recipe grows beyond {MAX_NODES} values");
                self.problems.push(Problem::new(loc, message));
                chain.pop();
                return Some((file, None));
            }
        }
        chain.pop();
        let loc = tree.loc;
        overlay(&mut base, tree);
        base.loc = loc;
        Some((file, Some(base)))
    }

    fn check_fragment(&mut self, tree: &Node) {
        for key in RECIPE_ONLY {
            if let Some(entry) = tree.entry(key) {
                self.problems.push(
                    Problem::new(entry.key_loc, format!("a fragment has no `{key}`"))
                        .help(format!("`{key}` belongs into the recipe that includes it")),
                );
            }
        }
    }

    fn targets(&mut self, include: &MapEntry) -> Vec<(PathBuf, Loc)> {
        let Value::Seq(items) = &include.value.value else {
            let message = format!(
                "`include` is a list of files, and this is {}",
                include.value.kind()
            );
            self.problems.push(
                Problem::new(include.value.loc, message).help("write `include: [_base/site.yaml]`"),
            );
            return vec![];
        };
        let mut targets = vec![];
        for item in items {
            let Some(text) = item.as_text().filter(|_| !item.is_null()) else {
                let message = format!("a file's path is a text, and this is {}", item.kind());
                self.problems.push(Problem::new(item.loc, message));
                continue;
            };
            let path = Path::new(text);
            if !path
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
            {
                let message = format!("`{text}` does not lie in recipes/");
                self.problems.push(
                    Problem::new(item.loc, message)
                        .help("paths of `include` are relative to recipes/"),
                );
                continue;
            }
            let target = self.root.join("recipes").join(path);
            if target.is_file() {
                targets.push((target, item.loc));
                continue;
            }
            let problem = Problem::new(item.loc, format!("there is no recipes/{text}"))
                .label("included here");
            let siblings = siblings(&self.root.join("recipes"), path);
            self.problems
                .push(problem.did_you_mean(text, siblings.iter().map(String::as_str)));
        }
        targets
    }
}

/// The other files of the folder, in the words of `path`.
pub fn siblings(base: &Path, path: &Path) -> Vec<String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let Ok(entries) = std::fs::read_dir(base.join(folder)) else {
        return vec![];
    };
    entries
        .flatten()
        .map(|entry| folder.join(entry.file_name()).display().to_string())
        .take(1000)
        .collect()
}

/// Reads a text file of bounded size.
///
/// # Errors
/// Why it is not one, in a few words.
pub fn read_text(path: &Path) -> Result<String, String> {
    read_found(path).map(|(text, _)| text)
}

/// The text, and what a walk finds.
fn read_found(path: &Path) -> Result<(String, String), String> {
    let described = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::FileTooLarge => {
            format!("it is larger than {} MiB", parse::MAX_BYTES >> 20)
        }
        _ => error.to_string(),
    };
    let meta = std::fs::metadata(path).map_err(described)?;
    if !meta.is_file() {
        return Err("it is not a regular file".into());
    }
    let read = digest::read(path, parse::MAX_BYTES as u64).map_err(described)?;
    let text = String::from_utf8(read.bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("byte {at} is not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    Ok((text, read.found))
}

/// Lays `over` onto `base`: maps merge, lists append, anything else replaces.
pub fn overlay(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(entries), Value::Map(more)) => {
            base.damaged |= over.damaged;
            for entry in more {
                match entries.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => {
                        known.key_loc = entry.key_loc;
                        overlay(&mut known.value, entry.value);
                    }
                    None => entries.push(entry),
                }
            }
            base.loc = over.loc;
        }
        (Value::Seq(items), Value::Seq(more)) => {
            items.extend(more);
            base.loc = over.loc;
        }
        (_, value) => {
            *base = Node {
                loc: over.loc,
                value,
                damaged: over.damaged,
            };
        }
    }
}

fn count(node: &Node) -> usize {
    1 + node.items().iter().map(count).sum::<usize>()
        + node
            .entries()
            .iter()
            .map(|entry| count(&entry.value))
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a file system of a program may say it.
    #[test]
    fn a_file_is_read_to_its_bound_whatever_size_it_says() {
        let symbols = Path::new("/proc/kallsyms");
        assert_eq!(symbols.metadata().unwrap().len(), 0);
        assert_eq!(read_text(symbols).unwrap_err(), "it is larger than 2 MiB");
    }
}
