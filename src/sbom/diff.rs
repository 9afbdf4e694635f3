//! How two images differ: packages and configuration files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Kind, Package, query};

/// The differences of one image from another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// Packages that only the new one has.
    pub added: Vec<Package>,
    /// Packages that only the old one has.
    pub removed: Vec<Package>,
    /// Packages of other versions.
    pub changed: Vec<Changed>,
    /// Configuration files.
    pub config: Config,
}

/// A package that both have, in other versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changed {
    pub(crate) name: String,
    /// Its architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// The version that the old one has.
    pub old: String,
    /// The version that the new one has.
    pub new: String,
    /// `newer` or `older`.
    pub direction: String,
}

/// Files below /etc.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Files that only the new one has.
    pub added: Vec<String>,
    /// Files that only the old one has.
    pub removed: Vec<String>,
    /// Files with other content.
    pub changed: Vec<String>,
}

impl Diff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }

    /// How many packages differ.
    pub fn packages(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }
}

/// Compares two lists of packages.
pub fn packages(kind: Kind, old: &[Package], new: &[Package]) -> Diff {
    // Several versions of one name are usual with RPM's kernels and keys.
    let group = |list: &[Package]| {
        let mut groups: BTreeMap<(String, String), Vec<Package>> = BTreeMap::new();
        for package in list {
            let key = (package.name.clone(), package.arch.clone());
            groups.entry(key).or_default().push(package.clone());
        }
        groups
    };
    let (old, new) = (group(old), group(new));
    let mut diff = Diff::default();
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let only = |these: Option<&Vec<Package>>, others: Option<&Vec<Package>>| -> Vec<Package> {
            let has = |package: &Package| {
                others.is_some_and(|list| list.iter().any(|other| other.version == package.version))
            };
            these
                .into_iter()
                .flatten()
                .filter(|one| !has(one))
                .cloned()
                .collect()
        };
        let (gone, come) = (
            only(old.get(name), new.get(name)),
            only(new.get(name), old.get(name)),
        );
        match (gone.as_slice(), come.as_slice()) {
            ([from], [to]) => diff.changed.push(Changed {
                name: from.name.clone(),
                arch: from.arch.clone(),
                direction: query::direction(kind, &from.version, &to.version).into(),
                old: from.version.clone(),
                new: to.version.clone(),
            }),
            _ => {
                diff.removed.extend(gone);
                diff.added.extend(come);
            }
        }
    }
    diff
}

/// Compares two lists of files with their digests.
pub fn config(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Config {
    let only = |these: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
        let missing = these.keys().filter(|path| !others.contains_key(*path));
        missing.cloned().collect()
    };
    let changed = new
        .iter()
        .filter(|(path, digest)| old.get(*path).is_some_and(|o| o != *digest));
    Config {
        added: only(new, old),
        removed: only(old, new),
        changed: changed.map(|(path, _)| path.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::package::tests::package;

    #[test]
    fn packages_come_go_and_change() {
        let old = [
            package("a", "1"),
            package("b", "1.9"),
            package("kernel", "5"),
            package("kernel", "6"),
        ];
        let new = [
            package("b", "1.10"),
            package("c", "1"),
            package("kernel", "6"),
            package("kernel", "7"),
        ];
        let diff = packages(Kind::Rpm, &old, &new);
        assert_eq!(diff.added, [package("c", "1")]);
        assert_eq!(diff.removed, [package("a", "1")]);
        let changed: Vec<_> = diff
            .changed
            .iter()
            .map(|c| {
                (
                    c.name.as_str(),
                    c.old.as_str(),
                    c.new.as_str(),
                    c.direction.as_str(),
                )
            })
            .collect();
        assert_eq!(
            changed,
            [("b", "1.9", "1.10", "newer"), ("kernel", "5", "7", "newer")]
        );
        assert_eq!(diff.packages(), 4);
        assert!(packages(Kind::Deb, &old, &old).is_empty());
    }

    #[test]
    fn files_come_go_and_change() {
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter()
                .map(|(path, digest)| ((*path).into(), (*digest).into()))
                .collect()
        };
        let config = config(
            &files(&[("/etc/a", "1"), ("/etc/b", "1")]),
            &files(&[("/etc/b", "2"), ("/etc/c", "1")]),
        );
        assert_eq!(
            (config.added, config.removed, config.changed),
            (
                vec!["/etc/c".into()],
                vec!["/etc/a".into()],
                vec!["/etc/b".into()]
            )
        );
    }
}
