//! `packages`: names, for all distributions or each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated};
use super::step::few;
use crate::error::Result;
use crate::yaml::checker::{Checker, at};
use crate::yaml::node::Node;
use crate::yaml::problem::Problem;

/// `ID` and `ID_LIKE` of the distributions that the guest's script knows.
pub const DISTRIBUTIONS: &[&str] = &[
    "debian",
    "ubuntu",
    "devuan",
    "kali",
    "linuxmint",
    "raspbian",
    "rhel",
    "fedora",
    "centos",
    "rocky",
    "almalinux",
    "ol",
    "amzn",
    "suse",
    "sles",
    "opensuse",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "alpine",
];

/// `packages:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packages {
    /// Package names: a list, or a list for each distribution (`ID` or `ID_LIKE`).
    pub names: PackageNames,
}

/// Package names, common or by distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PackageNames {
    /// The same names everywhere.
    All(Vec<String>),
    /// Names by distribution.
    ByDistro(BTreeMap<String, Vec<String>>),
}

impl Packages {
    /// Packages that have other names on each distribution.
    pub fn by_distro<'a, N: AsRef<[&'a str]>>(
        lists: impl IntoIterator<Item = (&'a str, N)>,
    ) -> Self {
        let owned = |names: N| {
            names
                .as_ref()
                .iter()
                .map(|name| (*name).to_owned())
                .collect()
        };
        let lists = lists.into_iter();
        let lists = lists.map(|(distro, names)| (distro.to_owned(), owned(names)));
        Packages {
            names: PackageNames::ByDistro(lists.collect()),
        }
    }
}

impl PackageNames {
    /// Every name, of every distribution.
    pub fn all(&self) -> Vec<&str> {
        let names: Vec<&Vec<String>> = match self {
            PackageNames::All(names) => vec![names],
            PackageNames::ByDistro(lists) => lists.values().collect(),
        };
        names.into_iter().flatten().map(String::as_str).collect()
    }

    /// The distributions that have a list of their own; `None` where one is for all.
    pub fn distributions(&self) -> Option<Vec<&str>> {
        match self {
            PackageNames::All(_) => None,
            PackageNames::ByDistro(lists) => Some(lists.keys().map(String::as_str).collect()),
        }
    }
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("packages.sh")),
    ..About::new(Form::Names("names"))
};

impl Kind for Packages {
    fn title(&self) -> String {
        match &self.names {
            PackageNames::All(names) => format!("packages {}", few(names)),
            PackageNames::ByDistro(_) => "packages".into(),
        }
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        let node = at(node, "names");
        match &self.names {
            PackageNames::All(names) => {
                cx.not_empty("packages", names.is_empty(), node);
                check_names(cx, names, node);
            }
            PackageNames::ByDistro(names) => {
                cx.not_empty("packages", names.is_empty(), node);
                for entry in node.entries() {
                    let key = Node::text(entry.key_loc, &entry.key);
                    cx.distro(&entry.key, &key, &["names"]);
                    if let Some(names) = names.get(&entry.key) {
                        check_names(cx, names, &entry.value);
                    }
                }
            }
        }
    }

    fn packages(&self) -> Option<&PackageNames> {
        Some(&self.names)
    }

    fn translate(&self, _: Scope<'_>) -> Result<Option<Translated>> {
        let list = |file: String, names: &[String]| {
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            ArchiveEntry::bytes(file, lines)
        };
        let files = match &self.names {
            PackageNames::All(all) => vec![list("names".into(), all)],
            PackageNames::ByDistro(map) => map
                .iter()
                .map(|(distro, names)| list(format!("names.{distro}"), names))
                .collect(),
        };
        Ok(Some(files.into()))
    }
}

/// Reports what is not a valid name of a package.
pub fn check_names(cx: &mut Checker<'_>, names: &[String], node: &Node) {
    for (name, node) in names.iter().zip(node.items()) {
        let shaped = !name.is_empty()
            && !name.starts_with('-')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-._:=~^@*/()".contains(c));
        if !shaped && !node.damaged {
            let problem = Problem::new(
                node.loc,
                format!("`{name}` is not a valid name for a package"),
            );
            cx.problems.push(if name.trim().contains(' ') {
                problem.help("each name is its own item of the list")
            } else {
                problem
            });
        }
    }
}
