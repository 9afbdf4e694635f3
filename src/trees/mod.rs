//! The files of two disks, compared without a guest: names, types, contents, owners, permissions,
//! extended attributes, targets of links, device numbers, and which names are one file.
//!
//! Times are not compared, nor what every build has of its own: see [`identities`]. What a machine starts before
//! it reads files is: see [`outside`].

mod content;
mod identities;
mod outside;
mod side;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use serde::Serialize;

use crate::blame::{self, overlay::Overlay};
use crate::error::Result;
use crate::ui::StageUi;
pub use content::Blocks;
use content::Pair;
use side::{Node, Tree};

/// The largest file that has something of a build's own, in bytes.
const LARGEST: u64 = 16 << 20;

/// How two disks differ.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// Files, directories and links of the first disk.
    pub files: usize,
    /// Bytes of their contents.
    pub bytes: u64,
    /// What differs, by path.
    pub differences: Vec<Difference>,
    /// Files that are equal but for what a build has of its own, and why.
    pub own: BTreeMap<String, &'static str>,
    /// What could not be compared, a sentence each.
    pub unread: Vec<String>,
    /// The disks' bytes.
    pub blocks: Blocks,
}

/// A path at which two disks differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Absolute. What is not UTF-8 in it is shown as `�`. What is in no file has a name in parentheses.
    pub path: String,
    /// In what.
    pub changes: Vec<Change>,
}

/// In what a file differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `missing`, `added`, `type`, `mode`, `owner`, `attributes`, `target`, `device`, `names`, `content` or `table`.
    pub what: &'static str,
    /// How it is on the first disk; empty where there is nothing.
    pub was: String,
    /// How it is on the second one.
    pub now: String,
}

impl Compared {
    /// Whether everything was compared, and is equal.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.unread.is_empty()
    }
}

/// Compares two disks that nobody writes to. `scratch` is a directory for temporary files.
///
/// # Errors
/// When one cannot be read, or on an interrupt.
pub fn compare(was: &Path, now: &Path, scratch: &Path, ui: &StageUi) -> Result<Compared> {
    let disks = [
        blame::open(was, scratch, ui)?,
        blame::open(now, scratch, ui)?,
    ];
    overlays([&disks[0].0, &disks[1].0], scratch)
}

fn overlays(disks: [&Overlay; 2], scratch: &Path) -> Result<Compared> {
    let trees = [
        side::read(disks[0], scratch)?,
        side::read(disks[1], scratch)?,
    ];
    let mut pair = Pair::new(disks);
    let files = trees[0].nodes.values();
    let mut compared = Compared {
        files: files.len(),
        bytes: files.map(|node| node.size).sum(),
        ..Compared::default()
    };
    let unread: BTreeSet<&String> = trees.iter().flat_map(|tree| &tree.unread).collect();
    compared.unread = unread.into_iter().cloned().collect();
    let names = [trees[0].first_names(), trees[1].first_names()];
    let paths: BTreeSet<&Vec<u8>> = trees.iter().flat_map(|tree| tree.nodes.keys()).collect();
    for path in paths {
        let shown = String::from_utf8_lossy(path).into_owned();
        let changes = match (trees[0].nodes.get(path), trees[1].nodes.get(path)) {
            (Some(was), Some(now)) => {
                let mut changes = attributes(was, now);
                let first = names.each_ref().map(|all| {
                    let first = all.get(path.as_slice()).copied().unwrap_or_default();
                    String::from_utf8_lossy(first).into_owned()
                });
                changes.extend(changed("names", &first[0], &first[1]));
                if was.is_file() && now.is_file() {
                    changes.extend(contents(
                        &mut pair,
                        &trees,
                        &shown,
                        [was, now],
                        &mut compared,
                    )?);
                }
                changes
            }
            (Some(was), None) => vec![Change::new("missing", was.describe(), "")],
            (None, Some(now)) => vec![Change::new("added", "", now.describe())],
            (None, None) => vec![],
        };
        if !changes.is_empty() {
            let path = shown;
            compared.differences.push(Difference { path, changes });
        }
    }
    let outside = outside::differences(&mut pair, &trees)?;
    compared.differences.extend(outside);
    compared.blocks = pair.blocks()?;
    Ok(compared)
}

/// How the contents of two regular files differ.
fn contents(
    pair: &mut Pair<'_>,
    trees: &[Tree; 2],
    path: &str,
    nodes: [&Node; 2],
    compared: &mut Compared,
) -> Result<Option<Change>> {
    let Some(at) = pair.differ(nodes)? else {
        return Ok(None);
    };
    if let Some([was, now]) = pair.both(nodes, LARGEST)?
        && let Some((was, why)) = identities::normalized(path, &was, &trees[0].systems)
        && let Some((now, _)) = identities::normalized(path, &now, &trees[1].systems)
        && was == now
    {
        compared.own.insert(path.to_owned(), why);
        return Ok(None);
    }
    let size = |node: &Node| format!("{} bytes", node.size);
    let now = format!("{}, other ones from byte {at} on", size(nodes[1]));
    Ok(Some(Change::new("content", size(nodes[0]), now)))
}

/// How two files differ in what belongs to their inodes.
fn attributes(was: &Node, now: &Node) -> Vec<Change> {
    if was.kind() != now.kind() {
        return vec![Change::new("type", was.describe(), now.describe())];
    }
    let mode = |node: &Node| format!("{:04o}", node.mode & 0o7777);
    let owner = |node: &Node| format!("{}:{}", node.uid, node.gid);
    let device = |node: &Node| match node.device {
        Some((major, minor)) => format!("{major}:{minor}"),
        None => String::new(),
    };
    let target = |node: &Node| String::from_utf8_lossy(&node.target).into_owned();
    let several = [
        changed("mode", &mode(was), &mode(now)),
        changed("owner", &owner(was), &owner(now)),
        changed("device", &device(was), &device(now)),
        changed("target", &target(was), &target(now)),
    ];
    let names: BTreeSet<&String> = was.xattrs.keys().chain(now.xattrs.keys()).collect();
    let value = |node: &Node, name: &String| match node.xattrs.get(name) {
        Some(value) => format!("{name}={}", hex::encode(value)),
        None => String::new(),
    };
    let attributes = names
        .into_iter()
        .filter_map(|name| changed("attributes", &value(was, name), &value(now, name)));
    several.into_iter().flatten().chain(attributes).collect()
}

fn changed(what: &'static str, was: &str, now: &str) -> Option<Change> {
    (was != now).then(|| Change::new(what, was, now))
}

impl Change {
    fn new(what: &'static str, was: impl Display, now: impl Display) -> Self {
        Change {
            what,
            was: was.to_string(),
            now: now.to_string(),
        }
    }
}

impl Node {
    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }

    fn is_file(&self) -> bool {
        self.kind() == 0o100_000
    }

    /// What it is, in a few words.
    fn describe(&self) -> String {
        let what = match self.kind() {
            0o040_000 => "directory",
            0o100_000 => "file",
            0o120_000 => "link",
            0o010_000 => "pipe",
            0o020_000 => "character device",
            0o060_000 => "block device",
            _ => "socket",
        };
        format!(
            "{what}, {:04o}, {}:{}",
            self.mode & 0o7777,
            self.uid,
            self.gid
        )
    }
}
