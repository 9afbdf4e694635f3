//! The files that differ between two images, by what made them so.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cause::named;
use super::index::{File, Index};
use crate::ui::printable;

/// How many paths of a group people are shown.
const SHOWN: usize = 10;

/// Files that one thing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// What changed them: a package of another version, a step, a stage.
    pub cause: String,
    /// The files.
    pub files: Vec<Changed>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// `added`, `removed`, `changed`: its content; `dressed`: its owner or permissions alone.
    pub how: &'static str,
}

/// What differs, the largest group first.
pub fn groups(old: &Index, new: &Index) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<Changed>> = BTreeMap::new();
    let mut add = |cause: String, path: &str, how| {
        let path = path.to_owned();
        groups.entry(cause).or_default().push(Changed { path, how });
    };
    for file in &new.files {
        let before = old.find(&file.path);
        match before.map(|before| differs(before, file)) {
            None => add(of_new(old, new, before, file), &file.path, "added"),
            Some(Some("dressed")) => {
                let cause = new.cause(file.dressed).line();
                add(cause, &file.path, "dressed");
            }
            Some(Some(how)) => add(of_new(old, new, before, file), &file.path, how),
            Some(None) => {}
        }
    }
    for file in old
        .files
        .iter()
        .filter(|file| new.find(&file.path).is_none())
    {
        add(of_gone(old, new, file), &file.path, "removed");
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(cause, files)| Group { cause, files })
        .collect();
    groups.iter_mut().for_each(|group| group.files.sort());
    // In the order of their names where as many differ.
    groups.sort_by_key(|group| std::cmp::Reverse(group.files.len()));
    groups
}

fn differs(before: &File, now: &File) -> Option<&'static str> {
    let kind = |file: &File| file.mode & 0o170_000;
    if kind(before) != kind(now) || before.content != now.content {
        return Some("changed");
    }
    let dress = |file: &File| (file.mode, file.uid, file.gid);
    (dress(before) != dress(now)).then_some("dressed")
}

fn of_new(old: &Index, new: &Index, before: Option<&File>, file: &File) -> String {
    if let Some((package, _)) = new.package(file) {
        let (name, arch) = (&package.name, &package.arch);
        let mut others = old.packages.iter();
        let was = others.find(|other| other.name == *name && other.arch == *arch);
        match was {
            None => return format!("package {} was added", named(package)),
            Some(was) if was.version != package.version => {
                return format!("package {name}: {} became {}", was.version, package.version);
            }
            // Of the same version: something else has changed it.
            Some(_) if before.is_some() => {}
            Some(_) => return format!("package {}", named(package)),
        }
    }
    new.cause(file.changed).line()
}

fn of_gone(old: &Index, new: &Index, file: &File) -> String {
    if let Some((package, _)) = old.package(file) {
        let (name, arch) = (&package.name, &package.arch);
        let mut others = new.packages.iter();
        match others.find(|other| other.name == *name && other.arch == *arch) {
            None => return format!("package {} was removed", named(package)),
            Some(now) if now.version != package.version => {
                return format!("package {name}: {} became {}", package.version, now.version);
            }
            Some(_) => {}
        }
    }
    match new.removed(&file.path) {
        Some(told) => format!("{} of {} removes it", told.stage, told.image),
        None => format!("no more: {}", old.cause(file.changed).line()),
    }
}

/// For people.
pub fn text(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        let count = group.files.len();
        let files = if count == 1 { "file" } else { "files" };
        text += &format!("{}: {count} {files}\n", printable(&group.cause));
        for file in group.files.iter().take(SHOWN) {
            text += &format!("  {:<8} {}\n", file.how, printable(&file.path));
        }
        if count > SHOWN {
            text += &format!("  … and {} more\n", count - SHOWN);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::{Claim, How, Layer, Removed, Since};
    use crate::sbom::package::tests::package;

    fn file(path: &str, content: &str, package: Option<usize>) -> File {
        File {
            path: path.into(),
            mode: 0o100_644,
            content: content.into(),
            changed: Since { layer: 1, at: None },
            claim: package.map(|package| Claim {
                package,
                how: How::Listed,
            }),
            ..File::default()
        }
    }

    fn index(version: &str, files: Vec<File>) -> Index {
        let layer = |stage: &str| Layer {
            stage: stage.into(),
            image: "web".into(),
            ..Layer::default()
        };
        Index {
            layers: vec![layer("install"), layer("configure")],
            packages: vec![package("ssl", version), package("base", "1")],
            files,
            ..Index::default()
        }
    }

    #[test]
    fn what_differs_is_grouped_by_what_changed_it() {
        let old = vec![
            file("/base", "1", Some(1)),
            file("/gone", "1", None),
            file("/mode", "1", None),
            file("/same", "1", None),
            file("/ssl", "1", Some(0)),
            file("/ssl-old", "1", Some(0)),
        ];
        let mut mode = file("/mode", "1", None);
        mode.mode = 0o100_600;
        let new = vec![
            file("/base", "2", Some(1)),
            mode,
            file("/new", "1", None),
            file("/same", "1", None),
            file("/ssl", "2", Some(0)),
            file("/ssl-new", "1", Some(0)),
        ];
        let (old, mut new) = (index("3.1", old), index("3.2", new));
        new.removed = vec![Removed {
            path: "/gone".into(),
            layer: 1,
        }];
        insta::assert_snapshot!(text(&groups(&old, &new)), @r"
        package ssl: 3.1 became 3.2: 3 files
          changed  /ssl
          added    /ssl-new
          removed  /ssl-old
        configure of web: 2 files
          changed  /base
          added    /new
        configure of web removes it: 1 file
          removed  /gone
        install of web: 1 file
          dressed  /mode
        ");
        assert_eq!(groups(&old, &old), []);
    }
}
