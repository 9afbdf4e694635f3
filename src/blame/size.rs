//! What parts of an image cost: by the steps, packages or directories that its files are of.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::cause::named;
use super::index::{File, Index};
use crate::ui::printable;
use crate::units::Size;

/// What files are summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// By the stages and steps that gave them their content
    #[default]
    Step,
    /// By the packages that have them; those of none, by step
    Package,
    /// By the directories that they are in
    Directory,
}

/// A part of an image, with its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// What it is.
    pub name: String,
    /// How many files and directories it has.
    pub files: u64,
    /// Bytes that they take on the disk.
    pub bytes: u64,
    /// Bytes of the packed file: an estimate, as some content packs better than other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<u64>,
    /// Its parts, the largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Node>,
}

#[derive(Debug, Default)]
struct Sum {
    files: u64,
    bytes: u64,
    parts: BTreeMap<String, Sum>,
}

impl Sum {
    fn add<'n>(&mut self, mut names: impl Iterator<Item = &'n str>, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(name) = names.next() {
            let part = self.parts.entry(name.to_owned()).or_default();
            part.add(names, bytes);
        }
    }

    fn node(self, name: String) -> Node {
        let parts = self.parts.into_iter();
        let mut parts: Vec<Node> = parts.map(|(name, sum)| sum.node(name)).collect();
        parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        Node {
            name,
            files: self.files,
            bytes: self.bytes,
            packed: None,
            parts,
        }
    }
}

impl Node {
    /// Shares `packed` bytes out among its parts, by their bytes out of `all`; no byte is lost.
    fn share(&mut self, packed: u64, all: u64) {
        self.packed = Some(packed);
        let mut before = 0;
        for part in &mut self.parts {
            let share = |bytes: u64| {
                let share = u128::from(packed) * u128::from(bytes) / u128::from(all.max(1));
                share as u64
            };
            let after = part.bytes.saturating_add(before).min(all);
            let own = share(after) - share(before);
            before = after;
            part.share(own, part.bytes);
        }
    }
}

/// How many levels of directories are told apart.
const DEEPEST: usize = 64;

/// What file systems need beside the files.
const OWN: &str = "no file: the file systems themselves";

/// What the files at and below the absolute path `top` cost; of all, with what the file systems take
/// beside them. `packed` is the size of the packed file, where `top` is all.
pub fn sizes(index: &Index, by: By, top: &str, packed: Option<u64>) -> Node {
    let mut sum = Sum::default();
    let dir = top.trim_end_matches('/');
    let within = |file: &&File| match file.path.strip_prefix(dir) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    for file in index.files.iter().filter(within) {
        let cause = index.cause(file.changed);
        let stage = format!("{} of {}", cause.layer.stage, cause.layer.image);
        let step = cause.step();
        let names: Vec<String> = match (by, index.package(file)) {
            (By::Step, _) => [Some(stage), step].into_iter().flatten().collect(),
            (By::Package, Some((package, _))) => vec![named(package)],
            (By::Package, None) => {
                let cause = step.map_or_else(|| stage.clone(), |step| format!("{stage}, {step}"));
                vec!["no package".into(), cause]
            }
            (By::Directory, _) => {
                let below = file.path[dir.len()..].split('/').skip(1);
                let mut names: Vec<String> = below.map(str::to_owned).collect();
                // Files of a directory are in its sum.
                if !file.is_dir() {
                    names.pop();
                }
                names.retain(|name| !name.is_empty());
                names.truncate(DEEPEST);
                names
            }
        };
        sum.add(names.iter().map(String::as_str), file.stored);
    }
    let mut all = sum.node(top.to_owned());
    let files = all.bytes;
    if let Some(packed) = packed {
        all.share(packed, files);
    }
    let own = index.used.filter(|_| dir.is_empty());
    let own = own.and_then(|used| used.checked_sub(files)).unwrap_or(0);
    if own > 0 {
        all.bytes += own;
        let at = all.parts.partition_point(|part| part.bytes >= own);
        let node = Node {
            name: OWN.to_owned(),
            files: 0,
            bytes: own,
            // Zeroes, nearly all of it.
            packed: packed.map(|_| 0),
            parts: vec![],
        };
        all.parts.insert(at, node);
    }
    all
}

/// A tree for a terminal: parts of at least one in `least` of all, down to `depth` levels.
pub fn tree(node: &Node, depth: usize, least: u64) -> String {
    let head = match node.packed {
        Some(_) => format!("{:>10}  {:>10}  {:>7}  PART\n", "SIZE", "PACKED", "FILES"),
        None => format!("{:>10}  {:>7}  PART\n", "SIZE", "FILES"),
    };
    let mut text = head;
    branch(&mut text, node, (0, depth), node.bytes / least.max(1));
    text
}

fn branch(text: &mut String, node: &Node, (level, depth): (usize, usize), least: u64) {
    row(text, level, node);
    if level == depth {
        return;
    }
    let count = node.parts.iter().take_while(|part| part.bytes >= least);
    let (large, rest) = node.parts.split_at(count.count());
    for part in large {
        branch(text, part, (level + 1, depth), least);
    }
    if let Some(more) = rest_of(rest) {
        row(text, level + 1, &more);
    }
}

/// Several parts as one; nothing of none.
pub(super) fn rest_of(parts: &[Node]) -> Option<Node> {
    let first = parts.first()?;
    let sum = |of: fn(&Node) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
    Some(Node {
        name: format!("{} smaller", parts.len()),
        files: sum(|part| part.files),
        bytes: sum(|part| part.bytes),
        packed: first.packed.map(|_| sum(|part| part.packed.unwrap_or(0))),
        parts: vec![],
    })
}

fn row(text: &mut String, level: usize, node: &Node) {
    let size = Size::bytes(node.bytes).human();
    let indent = "  ".repeat(level);
    let (name, files) = (printable(&node.name), node.files);
    let _ = match node.packed {
        Some(packed) => {
            let packed = Size::bytes(packed).human();
            writeln!(text, "{size:>10}  {packed:>10}  {files:>7}  {indent}{name}")
        }
        None => writeln!(text, "{size:>10}  {files:>7}  {indent}{name}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::{Claim, How, Layer, Since};
    use crate::sbom::package::tests::package;

    fn index() -> Index {
        let file = |path: &str, stored: u64, layer: usize, package: Option<usize>| File {
            path: path.into(),
            mode: 0o100_644,
            stored,
            changed: Since { layer, at: None },
            claim: package.map(|package| Claim {
                package,
                how: How::Listed,
            }),
            ..File::default()
        };
        let layer = |stage: &str| Layer {
            stage: stage.into(),
            image: "web".into(),
            ..Layer::default()
        };
        Index {
            layers: vec![layer("install"), layer("seal")],
            packages: vec![package("a", "1"), package("b", "2")],
            files: vec![
                file("/etc/x", 1000, 1, None),
                file("/usr/bin/a", 60_000, 0, Some(0)),
                file("/usr/bin/b", 30_000, 0, Some(1)),
                file("/usr/lib/b", 9000, 0, Some(1)),
                file("/usrx", 0, 0, None),
            ],
            ..Index::default()
        }
    }

    #[test]
    fn every_byte_counts_once() {
        let index = index();
        for by in [By::Step, By::Package, By::Directory] {
            let all = sizes(&index, by, "/", None);
            assert_eq!((all.bytes, all.files), (100_000, 5), "{by:?}");
        }
        let usr = sizes(&index, By::Directory, "/usr", None);
        assert_eq!((usr.bytes, usr.files), (99_000, 3));
        let named = |node: &Node| -> Vec<(String, u64)> {
            let parts = node.parts.iter();
            parts.map(|part| (part.name.clone(), part.bytes)).collect()
        };
        assert_eq!(named(&usr), [("bin".into(), 90_000), ("lib".into(), 9000)]);
        let packages = sizes(&index, By::Package, "/", None);
        let first = &named(&packages)[..2];
        assert_eq!(first[0].1 + first[1].1, 99_000);
        assert_eq!(packages.parts[2].name, "no package");
    }

    #[test]
    fn a_tree_shows_what_counts_and_sums_up_the_rest() {
        let all = sizes(&index(), By::Directory, "/", Some(50_000));
        let shown = tree(&all, 2, 20);
        assert_eq!(
            shown.lines().collect::<Vec<_>>(),
            [
                "      SIZE      PACKED    FILES  PART",
                "  97.7 KiB    48.8 KiB        5  /",
                "  96.7 KiB    48.3 KiB        3    usr",
                "  87.9 KiB    43.9 KiB        2      bin",
                "   8.8 KiB     4.4 KiB        1      lib",
                "    1000 B       500 B        1    1 smaller",
            ]
        );
    }

    /// Of the disk and of the packed file, to the last byte.
    #[test]
    fn parts_add_up_to_what_is_in_use_and_to_the_packed_file() {
        let index = Index {
            used: Some(1_234_567),
            ..index()
        };
        fn whole(node: &Node) {
            let sum = |of: fn(&Node) -> u64| node.parts.iter().map(of).sum::<u64>();
            if !node.parts.is_empty() {
                assert_eq!(sum(|part| part.bytes), node.bytes, "{node:?}");
                let packed = sum(|part| part.packed.unwrap());
                assert_eq!(Some(packed), node.packed, "{node:?}");
            }
            node.parts.iter().for_each(whole);
        }
        for by in [By::Step, By::Package] {
            let all = sizes(&index, by, "/", Some(33_331));
            assert_eq!((all.bytes, all.packed), (1_234_567, Some(33_331)));
            assert_eq!(all.parts[0].name, OWN);
            assert_eq!(
                (all.parts[0].bytes, all.parts[0].packed),
                (1_134_567, Some(0))
            );
            whole(&all);
        }
        // What is below a directory is no file system.
        let usr = sizes(&index, By::Directory, "/usr", None);
        assert_eq!((usr.bytes, usr.packed), (99_000, None));
    }
}
