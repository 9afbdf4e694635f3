//! What checks of a read file have in common: where mistakes go, and how the files that it names
//! are found. Every check reports and goes on.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::beneath;
use super::include;
use super::node::Node;
use super::problem::{Problem, Problems};
use super::source::Loc;
use super::template::{self, Vars};
use super::vars::undefined;
use crate::text::nearest;
use crate::units::Span;

/// What a file is to a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The recipe itself.
    Recipe,
    /// A fragment it includes.
    Include,
    /// `imgforge.yaml`.
    Config,
    /// An answer file.
    Answers,
    /// Installation media or a disk image on this host.
    Media,
    /// What a step reads: a script, a key, a playbook.
    Step,
}

/// A file that a recipe reads or names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedFile {
    /// What it is to the recipe.
    pub role: Role,
    /// The path as the recipe writes it, or relative to the root.
    pub written: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What a path must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// One of both.
    Either,
}

/// Where checks report, and what they know of the repository.
pub struct Checker<'a> {
    /// Where mistakes go.
    pub problems: &'a mut Problems,
    /// Root of the repository.
    pub root: &'a Path,
    /// Variables.
    pub vars: &'a Vars,
    /// Files that the recipe names, collected.
    pub files: Vec<NamedFile>,
}

impl std::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The value of a key, or the map itself where the key is absent.
pub fn at<'n>(node: &'n Node, key: &str) -> &'n Node {
    node.get(key).unwrap_or(node)
}

/// What is wrong with a map that has exactly one of two keys.
pub(super) fn exactly_one(node: &Node, name: &str, one: &str, other: &str) -> Option<Problem> {
    match (node.entry(one), node.entry(other)) {
        (None, None) if !node.damaged => Some(
            Problem::new(node.loc, format!("`{name}` needs `{one}` or `{other}`"))
                .help("write exactly one of them"),
        ),
        (Some(first), Some(second)) => Some(
            Problem::new(
                second.key_loc,
                format!("`{name}` has both `{one}` and `{other}`"),
            )
            .also(first.key_loc, "the other")
            .help("keep exactly one of them"),
        ),
        _ => None,
    }
}

/// What is wrong with a name of lower-case letters, digits, `.`, `_`, `-`, if anything.
pub fn bad_word(word: &str, what: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let shaped = word.starts_with(good)
        && word.len() <= 64
        && word
            .chars()
            .all(|c| good(c) || matches!(c, '.' | '_' | '-'));
    (!shaped).then(|| {
        format!(
            "`{word}` is not a valid name for {what}: at most 64 lower-case letters, digits, `.`, `_`, `-`, a letter or digit first"
        )
    })
}

impl Checker<'_> {
    /// Reports a duration of nothing.
    pub fn not_zero(&mut self, key: &str, span: Span, node: &Node) {
        if span.as_seconds() == 0 {
            self.problem(node.loc, format!("`{key}` is zero"));
        }
    }

    /// Reports an empty list or map of a step.
    pub fn not_empty(&mut self, name: &str, empty: bool, node: &Node) {
        if empty && !node.damaged {
            self.wrong(
                node.loc,
                format!("`{name}` is empty"),
                "fill it, or remove the step",
            );
        }
    }

    /// Reports a mistake.
    pub fn problem(&mut self, at: Loc, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    /// Reports a mistake, and what to do.
    pub fn wrong(&mut self, at: Loc, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(at, message).help(help));
    }

    /// A file of the repository. Relative to its root, inside of it.
    pub fn local(&mut self, node: &Node, text: &str, role: Role, wants: Wants) -> Option<PathBuf> {
        if node.damaged {
            return None;
        }
        if Path::new(text).is_absolute() {
            self.wrong(
                node.loc,
                format!("`{text}` does not lie in the repository"),
                "paths are relative to the root of the repository",
            );
            return None;
        }
        let path = self.relative(node, text, role, wants)?;
        if let Err(why) = beneath::resolve(self.root, Path::new(text)) {
            self.wrong(
                node.loc,
                format!("`{text}` leads out of the repository"),
                format!("{why}: put a copy of the file there"),
            );
            return None;
        }
        Some(path)
    }

    /// A file of the host: absolute, or relative to the root of the repository.
    pub fn host(&mut self, node: &Node, text: &str, role: Role, wants: Wants) -> Option<PathBuf> {
        if node.damaged {
            return None;
        }
        if Path::new(text).is_absolute() {
            return self.present(node, text, PathBuf::from(text), role, wants);
        }
        self.relative(node, text, role, wants)
    }

    fn relative(&mut self, node: &Node, text: &str, role: Role, wants: Wants) -> Option<PathBuf> {
        let mut depth = 0_i32;
        let inside = Path::new(text).components().all(|part| {
            depth += match part {
                Component::Normal(_) => 1,
                Component::CurDir => 0,
                _ => -1,
            };
            depth >= 0
        });
        if !inside || text.is_empty() {
            self.wrong(
                node.loc,
                format!("`{text}` leads out of the repository"),
                "paths are relative to the root of the repository, and stay in it",
            );
            return None;
        }
        self.present(node, text, self.root.join(text), role, wants)
    }

    fn present(
        &mut self,
        node: &Node,
        text: &str,
        path: PathBuf,
        role: Role,
        wants: Wants,
    ) -> Option<PathBuf> {
        let problem = match std::fs::metadata(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some(Problem::new(
                node.loc,
                format!("{text} cannot be read: {error}"),
            )),
            Err(_) => {
                let near = include::siblings(self.root, Path::new(text));
                let problem = Problem::new(node.loc, format!("there is no file {text}"));
                Some(problem.did_you_mean(text, near.iter().map(String::as_str)))
            }
            Ok(meta) if wants == Wants::File && !meta.is_file() => {
                Some(Problem::new(node.loc, format!("{text} is not a file")))
            }
            Ok(meta) if wants == Wants::Directory && !meta.is_dir() => {
                Some(Problem::new(node.loc, format!("{text} is not a directory")))
            }
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            self.problems.push(problem);
            return None;
        }
        let written = text.to_owned();
        self.files.push(NamedFile {
            role,
            written,
            path: path.clone(),
        });
        Some(path)
    }

    /// A template must parse, and use only variables that exist.
    pub fn template(&mut self, path: &Path, named: Loc) {
        drop(self.template_with(path, named, &BTreeSet::new()));
    }

    /// The same for a template that has more variables than the recipe's. The text, if it is good.
    pub fn template_with(
        &mut self,
        path: &Path,
        named: Loc,
        more: &BTreeSet<String>,
    ) -> Option<String> {
        let shown = path
            .strip_prefix(self.root)
            .unwrap_or(path)
            .display()
            .to_string();
        let text = match include::read_text(path) {
            Ok(text) => text,
            Err(why) => {
                self.problem(named, format!("{shown} cannot be a template: {why}"));
                return None;
            }
        };
        match template::variables(&text) {
            Ok(used) => {
                let unknown: Vec<String> = used
                    .into_iter()
                    .filter(|name| !self.vars.contains_key(name) && !more.contains(name))
                    .collect();
                if unknown.is_empty() {
                    return Some(text);
                }
                let file = self.problems.sources.add(shown, Some(path), &text);
                for name in unknown {
                    let (start, end) = find_use(&text, &name);
                    self.problems.push(
                        self.unknown(file.range(start, end), &name, more)
                            .also(named, "the template is named here"),
                    );
                }
            }
            Err(mistake) => {
                let file = self.problems.sources.add(shown, Some(path), &text);
                let start = text
                    .split_inclusive('\n')
                    .take(mistake.line.saturating_sub(1))
                    .map(str::len)
                    .sum();
                let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
                self.problems.push(
                    Problem::new(
                        file.range(start, end),
                        format!("the template is broken: {}", mistake.message),
                    )
                    .also(named, "the template is named here")
                    .help(template::LITERALLY),
                );
            }
        }
        None
    }

    fn unknown(&self, at: Loc, name: &str, more: &BTreeSet<String>) -> Problem {
        match nearest(name, more.iter().map(String::as_str)) {
            Some(_) => Problem::new(at, format!("the variable `{name}` is not defined"))
                .did_you_mean(name, more.iter().map(String::as_str)),
            None => undefined(at, name, self.vars),
        }
    }

    /// All files of a directory that is a template as a whole.
    pub fn templates(&mut self, path: &Path, named: Loc, depth: usize) {
        if path.is_file() {
            return self.template(path, named);
        }
        let mut entries: Vec<PathBuf> = match std::fs::read_dir(path) {
            Ok(entries) if depth < 16 => entries.flatten().map(|entry| entry.path()).collect(),
            _ => return,
        };
        entries.sort();
        for entry in entries {
            if !entry.is_symlink() {
                self.templates(&entry, named, depth + 1);
            }
        }
    }
}

/// Where a template uses a variable first: the name inside of `{{` or `{%`, else the beginning.
fn find_use(text: &str, name: &str) -> (usize, usize) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    while let Some(found) = text[from..].find(name) {
        let start = from + found;
        let end = start + name.len();
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let before = &text[line..start];
        let inside = before.rfind("{{").or(before.rfind("{%"));
        let whole = !text[..start].ends_with(word) && !text[end..].starts_with(word);
        if whole && inside.is_some_and(|open| !before[open..].contains("}}")) {
            return (start, end);
        }
        from = end;
    }
    (0, 0)
}
