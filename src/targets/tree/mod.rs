//! Every file of an image, with its attributes, and where its content lies.
//!
//! ext2, ext3 and ext4 are read by imgforge itself: an appliance without hardware acceleration reads
//! ten megabytes a second. Every other file system goes through an appliance as one archive.

pub(crate) mod archive;
pub(crate) mod ext4;
mod hollow;
mod pax;
mod programs;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::distro;
use crate::error::{Context as _, Error, Result};
use crate::ext4::read_at;
use crate::fstab::{FileSystem, Layout, Machine, Mount};
use crate::scan::source::parts::{Content as Holds, Volume, volumes};
use crate::time::now;
use crate::ui::StageUi;
use crate::units::Size;

use super::SystemDisk;
pub(crate) use crate::ext4::Run;
pub(crate) use programs::Programs;

/// The largest file that is read as a text, in bytes: lists of modules have less than one MiB.
const LARGEST_TEXT: u64 = 16 << 20;

/// What kind of file a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    Directory,
    /// A symbolic link and where it points.
    Link(Vec<u8>),
    /// A device, a pipe or a socket.
    Special,
}

/// Where the bytes of a file lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the tree's own file: sorted runs, and zeroes where there is none.
    Runs(Vec<Run>),
    /// Here.
    Bytes(Vec<u8>),
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its path without a slash at either end; the root's is empty.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permissions: the low 12 bits of stat(2)'s mode.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// Seconds since 1970 of its last change.
    pub(crate) mtime: i64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Equal for all names of one file.
    pub(crate) inode: (u32, u64),
    /// Extended attributes without SELinux' labels.
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// Its bytes.
    pub(crate) content: Content,
}

/// The inode of a file that is not on the disk.
pub(super) const NO_INODE: (u32, u64) = (u32::MAX, 0);

impl Node {
    /// A file of root's that is not on the disk, with these bytes.
    pub(crate) fn made(path: &str, kind: Kind, mode: u32, bytes: impl Into<Vec<u8>>) -> Node {
        let bytes = bytes.into();
        Node {
            path: path.as_bytes().to_vec(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: bytes.len() as u64,
            inode: NO_INODE,
            xattrs: BTreeMap::new(),
            content: Content::Bytes(bytes),
        }
    }

    /// What it takes in memory, in bytes.
    fn weight(&self) -> usize {
        let attribute = |(name, value): (&String, &Vec<u8>)| name.len() + value.len() + 64;
        let content = match &self.content {
            Content::Runs(runs) => size_of_val::<[Run]>(runs),
            Content::Bytes(bytes) => bytes.len(),
        };
        let link = match &self.kind {
            Kind::Link(to) => to.len(),
            _ => 0,
        };
        let xattrs: usize = self.xattrs.iter().map(attribute).sum();
        size_of::<Node>() + self.path.len() + xattrs + content + link
    }
}

/// All files of an image, sorted by path.
#[derive(Debug)]
pub(crate) struct Tree {
    file: File,
    /// The files.
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// Reads the tree of a disk's one operating system.
    ///
    /// # Errors
    /// When there is none or several, or it cannot be read.
    pub(super) fn read(source: &SystemDisk, scratch: &Path, ui: &StageUi) -> Result<Tree> {
        let tree = Self::read_any(source, scratch, ui)?;
        hollow::tell(&tree.nodes, ui);
        Ok(tree)
    }

    fn read_any(source: &SystemDisk, scratch: &Path, ui: &StageUi) -> Result<Tree> {
        let raw = source.flat(ui)?;
        ui.step("listing the files");
        let parts = volumes(&raw)?;
        if parts.iter().all(|part| part.content.is_read_here())
            && let Some(tree) = of_ext4(&raw, &parts, ui)?
        {
            return Ok(tree);
        }
        archive::read(source, scratch, ui)
    }

    fn new(file: File, mut nodes: Vec<Node>) -> Tree {
        nodes.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { file, nodes }
    }

    /// A tree without files, for nodes whose bytes are their own.
    #[cfg(test)]
    pub(crate) fn empty() -> Tree {
        Tree::new(File::open("/dev/null").unwrap(), vec![])
    }

    /// When the newest file was changed, in seconds since 1970. What is of the future does not count.
    pub(crate) fn newest(&self) -> u64 {
        let now = now();
        let times = self.nodes.iter().map(|node| node.mtime);
        let past = times.filter_map(|time| u64::try_from(time).ok());
        past.filter(|time| *time <= now).max().unwrap_or(0)
    }

    /// The file with this path; links are not followed.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        let found = self
            .nodes
            .binary_search_by(|node| node.path.as_slice().cmp(path.as_bytes()));
        found.ok().map(|at| &self.nodes[at])
    }

    /// The content of a regular file.
    pub(crate) fn open<'t>(&'t self, node: &'t Node) -> Reader<'t> {
        Reader {
            tree: self,
            node,
            at: 0,
        }
    }

    /// The whole content of a regular file: an image may have one of any size.
    ///
    /// # Errors
    /// When it has more than `most` bytes, or cannot be read.
    pub(crate) fn bytes(&self, node: &Node, most: u64) -> io::Result<Vec<u8>> {
        if node.size > most {
            let [size, most] = [node.size, most].map(|bytes| Size::bytes(bytes).human());
            let text = format!("it has {size}, and {most} is the most that is read");
            return Err(io::Error::other(text));
        }
        let mut bytes = vec![];
        io::Read::read_to_end(&mut self.open(node), &mut bytes).map(|_| bytes)
    }

    /// The content of a small file as text; `None` if there is no such regular file.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let node = self.get(path).filter(|node| node.kind == Kind::File)?;
        let bytes = self.bytes(node, LARGEST_TEXT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A value of os-release.
    pub(crate) fn os_release(&self, key: &str) -> Option<String> {
        let text = self
            .text("etc/os-release")
            .or_else(|| self.text("usr/lib/os-release"))?;
        distro::os_release(&text, key).map(str::to_owned)
    }
}

/// Reads the content of one file.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    tree: &'t Tree,
    node: &'t Node,
    at: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.node.size.saturating_sub(self.at);
        let want = left.min(into.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = match &self.node.content {
            Content::Bytes(bytes) => {
                let from = &bytes[self.at as usize..];
                into[..want].copy_from_slice(&from[..want]);
                want
            }
            Content::Runs(runs) => read_at(&self.tree.file, runs, self.at, &mut into[..want])?,
        };
        self.at += got as u64;
        Ok(got)
    }
}

/// Where os-release may be, relative to the root.
const MARKS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// The tree of a disk with ext2, ext3 and ext4 only; `None` when the appliance has to read it.
fn of_ext4(raw: &Path, parts: &[Volume], ui: &StageUi) -> Result<Option<Tree>> {
    let doing = || format!("reading {}", raw.display());
    let mut systems = vec![];
    for part in parts.iter().filter(|part| part.content == Holds::Ext) {
        let file = File::open(raw).doing(doing)?;
        match ext4::read(&file, part.start, part.number).doing(doing)? {
            Some(nodes) => systems.push((part, nodes)),
            None => return Ok(None),
        }
    }
    let has = |nodes: &[Node], path: &str| nodes.iter().any(|node| node.path == path.as_bytes());
    let is_root = |nodes: &[Node]| MARKS.iter().any(|mark| has(nodes, mark));
    let roots: Vec<usize> = (0..systems.len())
        .filter(|index| is_root(&systems[*index].1))
        .collect();
    let root = match roots.as_slice() {
        [root] => *root,
        [] => return Err(none()),
        several => {
            let numbers = several.iter().map(|index| systems[*index].0.number);
            return Err(many(
                &numbers
                    .map(|n| format!("partition {n}"))
                    .collect::<Vec<_>>(),
            ));
        }
    };
    let file = File::open(raw).doing(doing)?;
    let (part, nodes) = systems.remove(root);
    let tree = Tree::new(file, nodes);
    let layout = laid_out(&tree, part, parts);
    // A boot loader's partition is of no use to what has no firmware.
    let needs_appliance = |mount: &&Mount| {
        let boot = ["/boot", "/efi"]
            .iter()
            .any(|dir| Path::new(&mount.at).starts_with(dir));
        parts[mount.system].content == Holds::Fat && !boot
    };
    if layout.mounts.iter().any(|mount| needs_appliance(&mount)) {
        return Ok(None);
    }
    let Tree { file, mut nodes } = tree;
    for at in layout.mounts.iter().skip(1) {
        let found = systems.iter().find(|(part, _)| **part == parts[at.system]);
        if let Some((_, below)) = found {
            mount(&mut nodes, at.at.trim_start_matches('/'), below.clone());
        }
    }
    for note in &layout.notes {
        ui.ui().warning(note);
    }
    for (index, part) in parts.iter().enumerate() {
        if part.content == Holds::Ext && layout.at(index).is_none() {
            let shown = part.system.shown();
            ui.ui().warning(format!(
                "no line of fstab names {shown}: its files are not reached"
            ));
        }
    }
    Ok(Some(Tree::new(file, nodes)))
}

/// What is mounted where, by the fstab of the root.
fn laid_out(tree: &Tree, root: &Volume, parts: &[Volume]) -> Layout {
    let systems: Vec<FileSystem> = parts.iter().map(|part| part.system.clone()).collect();
    let machine = Machine {
        systems: &systems,
        root: parts.iter().position(|part| part == root).unwrap_or(0),
        fstab: &tree.text("etc/fstab").unwrap_or_default(),
        crypttab: "",
    };
    machine.layout(|at| {
        let at = at.trim_start_matches('/').as_bytes();
        let found = tree.nodes.iter().find(|node| node.path == at);
        found.filter(|node| node.kind == Kind::Directory)?;
        let inside = |node: &Node| {
            node.path
                .strip_prefix(at)
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        Some(!tree.nodes.iter().any(inside))
    })
}

/// Puts a file system's nodes below a path, in place of what is there.
fn mount(nodes: &mut Vec<Node>, at: &str, below: Vec<Node>) {
    let prefix = [at.as_bytes(), b"/"].concat();
    nodes.retain(|node| node.path != at.as_bytes() && !node.path.starts_with(&prefix));
    nodes.extend(below.into_iter().map(|mut node| {
        node.path = match node.path.as_slice() {
            b"" => at.as_bytes().to_vec(),
            path => [&prefix, path].concat(),
        };
        node
    }));
}

fn none() -> Error {
    Error::usage("no operating system was found on the disk")
        .cause("no file system has an os-release")
}

fn many(roots: &[String]) -> Error {
    Error::usage("several operating systems are on the disk")
        .cause(roots.join(", "))
        .hint("a target is made of a disk with one")
}
