//! What a stage's result depends on, and the key made of it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address;
use crate::digest::{self, Key};
use crate::error::{Context as _, Error, Result};
use crate::store::digests::Digests;

/// The input of a stage that a lock binds.
pub const LOCK: &str = "the lock";

/// The named inputs of one stage, in order. Equal inputs mean equal work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs {
    named: Vec<(String, String)>,
    #[serde(skip)]
    read: Vec<Walked>,
    /// Why there is no key: a value that cannot be written down would be none.
    #[serde(skip)]
    wrong: Option<String>,
}

/// What was found at and below a path that an input is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The path.
    pub path: PathBuf,
    /// As [`Digests::walk`] gives it.
    pub found: Vec<(String, String)>,
    /// It is an installer's medium: nobody reads packages of it on this host.
    pub installer: bool,
}

/// Where the files lie is no part of it.
impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        self.named == other.named
    }
}

impl Eq for Inputs {}

impl Inputs {
    /// The inputs of `stage`, whose own `version` changes when its code makes other results.
    pub fn new(stage: &str, version: u32) -> Self {
        Inputs {
            named: vec![("stage".into(), format!("{stage} {version}"))],
            read: vec![],
            wrong: None,
        }
    }

    /// Adds a value; its text is what `plan --explain` can show. A password in an address counts,
    /// as it may get into the guest, but is not written down: the whole digest of the text is, as
    /// half of one would be the same for another text that somebody looks for. A value that cannot
    /// be written as JSON is told by [`Inputs::key`].
    pub fn value(&mut self, name: impl Into<String>, value: impl Serialize) {
        let name = name.into();
        let text = match serde_json::to_string(&value) {
            Ok(text) => text,
            Err(cause) => return self.refuse(&name, &cause),
        };
        let text = match address::hide(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(hidden) => {
                let digest = blake3::hash(text.as_bytes()).to_hex();
                format!("{hidden} with a password ({digest})")
            }
        };
        self.named.push((name, text));
    }

    fn refuse(&mut self, name: &str, cause: &serde_json::Error) {
        let wrong = format!("`{name}` cannot be written as JSON: {cause}");
        self.wrong.get_or_insert(wrong);
    }

    /// Adds every field of a value as one of its own, so that `plan --explain` names what changed.
    pub fn fields(&mut self, prefix: &str, value: &impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => self.visit(prefix.to_owned(), value),
            Err(cause) => self.refuse(prefix, &cause),
        }
    }

    fn visit(&mut self, name: String, value: serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) if !fields.is_empty() => {
                for (field, value) in fields {
                    self.visit(format!("{name}.{field}"), value);
                }
            }
            value => self.value(name, value),
        }
    }

    /// Adds where something is fetched from: who fetches does not change what is fetched, so that
    /// neither user nor password count.
    pub fn place(&mut self, name: impl Into<String>, place: &str) {
        self.value(name, address::hide(place));
    }

    /// Adds the key of the stage's input.
    pub fn input(&mut self, name: impl Into<String>, key: &Key) {
        self.named.push((name.into(), key.as_str().into()));
    }

    /// Adds a file, or a directory with all that is below it, by name, permissions and content.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn path(&mut self, name: &str, path: &Path, digests: &Digests) -> Result<()> {
        self.walked(name, path, digests.walk(path)?, false);
        Ok(())
    }

    /// As [`Inputs::path`], for what boots an installer.
    ///
    /// # Errors
    /// As there.
    pub fn medium(&mut self, name: &str, path: &Path, digests: &Digests) -> Result<()> {
        self.walked(name, path, digests.walk(path)?, true);
        Ok(())
    }

    /// As [`Inputs::path`], for a file whose content the caller needs: what it gets is what counts.
    ///
    /// # Errors
    /// As there, and when it is no text.
    pub fn text(&mut self, name: &str, path: &Path) -> Result<String> {
        let read = digest::read(path, u64::MAX).doing(|| format!("reading {}", path.display()))?;
        let found = vec![(String::new(), read.found)];
        self.walked(name, path, found, false);
        String::from_utf8(read.bytes).map_err(|cause| {
            Error::usage(format!("{} is not UTF-8 text", path.display())).cause(cause)
        })
    }

    /// Has the stage take a file that the key of the disk below stands for.
    ///
    /// # Errors
    /// As [`Inputs::path`].
    pub fn reads(&mut self, path: &Path, digests: &Digests) -> Result<()> {
        self.read.push(Walked {
            path: path.to_owned(),
            found: digests.walk(path)?,
            installer: false,
        });
        Ok(())
    }

    fn walked(&mut self, name: &str, path: &Path, found: Vec<(String, String)>, installer: bool) {
        for (below, digest) in &found {
            let name = match below.is_empty() {
                true => name.to_owned(),
                false => format!("{name}/{below}"),
            };
            self.named.push((name, digest.clone()));
        }
        let path = path.to_owned();
        self.read.push(Walked {
            path,
            found,
            installer,
        });
    }

    /// The files and directories that the inputs were made of; none of inputs that were stored.
    pub fn read(&self) -> &[Walked] {
        &self.read
    }

    /// The key of these inputs.
    ///
    /// # Errors
    /// When one of them could not be written down, which is a bug.
    pub fn key(&self) -> Result<Key> {
        if let Some(wrong) = &self.wrong {
            return Err(Error::internal("a stage has no key").cause(wrong));
        }
        let text = serde_json::to_vec(&self.named);
        let text = text.map_err(|cause| Error::internal("a stage has no key").cause(cause))?;
        Ok(Key::of(&text))
    }

    /// What the recipe and its files say of a stage: the key without the disk `below`, without the lock and
    /// the epoch.
    ///
    /// # Errors
    /// As [`Inputs::key`].
    pub fn of_recipe(&self, below: &str) -> Result<Key> {
        let mut plain = self.clone();
        plain
            .named
            .retain(|(name, _)| ![below, LOCK, super::epoch::NAME].contains(&name.as_str()));
        plain.key()
    }

    /// The key without an epoch, and the epoch, of inputs that have one.
    pub(super) fn without_epoch(&self) -> Option<(Key, u64)> {
        let (name, value) = self.named.last()?;
        let epoch = (name == super::epoch::NAME).then(|| value.parse().ok())??;
        let mut plain = self.clone();
        plain.named.pop();
        Some((plain.key().ok()?, epoch))
    }

    /// The inputs that are digests of 64 hex digits: files, and what recipes give a checksum of.
    pub fn digests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().filter_map(|(name, value)| {
            let digest = value.trim_matches('"');
            Key::parse(digest).map(|_| (name.as_str(), digest))
        })
    }

    /// The names of inputs that differ from `before`, each with how.
    pub fn changes_since(&self, before: &Inputs) -> Vec<String> {
        let find = |list: &Inputs, name: &str| {
            list.named
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| value.clone())
        };
        let changed = self
            .named
            .iter()
            .filter_map(|(name, value)| match find(before, name) {
                None => Some(format!("{name} is new")),
                Some(old) if old != *value => Some(describe(name, &old, value)),
                Some(_) => None,
            });
        let gone = before
            .named
            .iter()
            .filter(|(name, _)| find(self, name).is_none());
        let mut changes: Vec<_> = changed
            .chain(gone.map(|(name, _)| format!("{name} is gone")))
            .collect();
        if changes.is_empty() && self != before {
            changes.push("the order changed".into());
        }
        changes
    }
}

/// Short values are shown; digests and long ones only said to differ.
fn describe(name: &str, old: &str, new: &str) -> String {
    let short = |text: &str| text.len() <= 40 && Key::parse(text).is_none();
    if short(old) && short(new) {
        format!("{name} changed: {old} → {new}")
    } else {
        format!("{name} changed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(values: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::new("configure", 1);
        values
            .iter()
            .for_each(|(name, value)| inputs.value(*name, value));
        inputs
    }

    #[test]
    fn passwords_count_but_are_not_written_down() {
        let with = |password: &str| inputs(&[("uri", &format!("https://me:{password}@h/x"))]);
        let (one, other) = (with("hunter2"), with("hunter3"));
        assert_ne!(one.key().unwrap(), other.key().unwrap());
        let text = serde_json::to_string(&one).unwrap();
        // Another text with the same part of a digest is found in seconds.
        let digest = text.rsplit_once('(').unwrap().1.split_once(')').unwrap().0;
        assert!(Key::parse(digest).is_some(), "{text}");
        assert!(
            !text.contains("hunter") && text.contains("https://h/x"),
            "{text}"
        );
        let place = |address: &str| {
            let mut inputs = Inputs::new("install", 1);
            inputs.place("mirrors.build", address);
            inputs
        };
        assert_eq!(place("https://me:hunter2@h/x"), place("https://h/x"));
        // Keys of everything else are what they were.
        assert_eq!(place("https://h/x").key().unwrap(), {
            let mut inputs = Inputs::new("install", 1);
            inputs.value("mirrors.build", "https://h/x");
            inputs.key().unwrap()
        });
    }

    /// JSON has no names that are lists.
    #[test]
    fn a_value_that_cannot_be_written_gives_no_key() {
        let odd = std::collections::BTreeMap::from([([1, 2], "x")]);
        let key = |add: &dyn Fn(&mut Inputs)| {
            let mut inputs = Inputs::new("install", 1);
            add(&mut inputs);
            inputs.key()
        };
        let errors = [
            key(&|inputs| inputs.value("odd", &odd)).unwrap_err(),
            key(&|inputs| inputs.fields("odd", &odd)).unwrap_err(),
        ];
        for error in errors {
            assert!(
                error.render().contains("`odd` cannot"),
                "{}",
                error.render()
            );
        }
        key(&|inputs| inputs.value("even", "x")).unwrap();
    }

    #[test]
    fn changes_are_named() {
        let before = inputs(&[("suite", "bookworm"), ("gone", "x"), ("same", "y")]);
        let after = inputs(&[("suite", "trixie"), ("same", "y"), ("new", "z")]);
        assert_ne!(before.key().unwrap(), after.key().unwrap());
        assert_eq!(
            after.changes_since(&before),
            [
                "suite changed: \"bookworm\" → \"trixie\"",
                "new is new",
                "gone is gone"
            ]
        );
        assert!(before.changes_since(&before).is_empty());
    }

    #[test]
    fn the_order_of_steps_is_an_input() {
        let (one, two) = (
            inputs(&[("a", "1"), ("b", "2")]),
            inputs(&[("b", "2"), ("a", "1")]),
        );
        assert_ne!(one.key().unwrap(), two.key().unwrap());
        assert_eq!(one.changes_since(&two), ["the order changed"]);
    }

    #[test]
    fn neither_names_nor_values_run_into_each_other() {
        assert_ne!(
            inputs(&[("a", "b\",\"c")]).key().unwrap(),
            inputs(&[("a", "b"), ("c", "")]).key().unwrap()
        );
    }
}
