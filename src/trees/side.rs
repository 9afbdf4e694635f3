//! One disk's files, with all that is compared of them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::blame::disk::{place, systems, volumes};
use crate::blame::overlay::Overlay;
use crate::error::{Context as _, Result};
use crate::ext4::{Fs, Inode, Run, Walk};
use crate::fstab::FileSystem;
use crate::host::interrupt;
use crate::scan::source::parts::{Content, Volume};
use crate::scan::source::{ext, fat};

/// What is compared of a file, but for the bytes of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Type and permissions, as stat(2) has them.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Size of a regular file in bytes; nothing of others.
    pub(super) size: u64,
    /// Where the content of a regular file lies on the disk.
    pub(super) runs: Vec<Run>,
    /// Where a symbolic link points.
    pub(super) target: Vec<u8>,
    /// Major and minor number of a device.
    pub(super) device: Option<(u32, u32)>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    /// File system and number of the inode, where it may have further names.
    pub(super) inode: Option<(u32, u64)>,
}

/// What is on a disk.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By absolute path.
    pub(super) nodes: BTreeMap<Vec<u8>, Node>,
    /// What was not read, a sentence each.
    pub(super) unread: Vec<String>,
    /// Its file systems, in the order of the disk.
    pub(super) systems: Vec<FileSystem>,
    /// Its partitions, in the same order.
    pub(super) volumes: Vec<Volume>,
}

/// Reads what is on a disk. `scratch` is a directory for temporary files.
///
/// # Errors
/// When it cannot be read, or on an interrupt.
pub(super) fn read(disk: &Overlay, scratch: &Path) -> Result<Tree> {
    let volumes = volumes(disk, scratch)?;
    let mut tree = Tree {
        systems: volumes.iter().map(|one| one.system.clone()).collect(),
        ..Tree::default()
    };
    let systems = systems(disk, &volumes, &mut tree.unread);
    let mounts = ext::mounts(&systems, &volumes);
    let at = |volume: &Volume| place(volume, &mounts);
    for (volume, system) in &systems {
        ext_files(&mut tree, (&at(volume), volume.number), system)?;
    }
    for volume in volumes.iter().filter(|v| v.content == Content::Fat) {
        let at = at(volume);
        fat::list(disk, volume.start, |listed| {
            tree.nodes
                .insert(format!("{at}{}", listed.path).into_bytes(), of_fat(&listed));
            Ok(())
        })?;
    }
    drop(systems);
    tree.volumes = volumes;
    Ok(tree)
}

/// Every file of an ext file system that is mounted at a path.
fn ext_files(tree: &mut Tree, (at, number): (&str, u32), system: &Fs<'_>) -> Result<()> {
    let root = system
        .root()
        .and_then(|root| node(system, number, &root))
        .doing(|| format!("reading {at}/ of the image"))?;
    // Beside the directory that it is mounted over.
    tree.nodes.insert(format!("{at}/").into_bytes(), root);
    let mut walk = Walk::new(system);
    while let Some(next) = walk.next() {
        let (path, inode) = next.doing(|| format!("reading {at}{} of the image", walk.dir()))?;
        let path = [at.as_bytes(), b"/", &path].concat();
        let shown = || String::from_utf8_lossy(&path);
        if tree.nodes.len().is_multiple_of(1024) {
            interrupt::check()?;
        }
        if inode.is_encrypted() {
            tree.unread
                .push(format!("{}: it is encrypted (fscrypt)", shown()));
            walk.pass_over(&inode);
            continue;
        }
        let doing = || format!("reading {} of the image", shown());
        let node = node(system, number, &inode).doing(doing)?;
        let bytes = size_of::<Node>() + path.len() + node.runs.len() * size_of::<Run>();
        system.charge(bytes).doing(doing)?;
        tree.nodes.insert(path, node);
    }
    Ok(())
}

fn node(system: &Fs<'_>, number: u32, inode: &Inode) -> io::Result<Node> {
    Ok(Node {
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        size: if inode.is_file() { inode.size } else { 0 },
        runs: match inode.is_file() {
            true => system.runs(inode)?,
            false => vec![],
        },
        target: match inode.is_link() {
            true => system.link(inode)?,
            false => vec![],
        },
        device: inode.device(),
        xattrs: system.all_xattrs(inode)?,
        inode: (!inode.is_dir()).then_some((number, inode.number)),
    })
}

/// A file of a FAT, which has no owners.
fn of_fat(listed: &fat::Listed) -> Node {
    let mut from = 0;
    let runs = listed.runs.iter().map(|part| {
        let (at, len) = (from, part.end - part.start);
        from += len;
        Run {
            at,
            place: part.start,
            len,
        }
    });
    match listed.is_dir {
        true => Node {
            mode: 0o040_755,
            ..Node::default()
        },
        false => Node {
            mode: 0o100_644,
            size: listed.size,
            runs: runs.collect(),
            ..Node::default()
        },
    }
}

impl Tree {
    /// The first name of each file that has several, by each of its names.
    pub(super) fn first_names(&self) -> BTreeMap<&[u8], &[u8]> {
        let mut by_inode: BTreeMap<(u32, u64), Vec<&[u8]>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Some(inode) = node.inode {
                by_inode.entry(inode).or_default().push(path);
            }
        }
        let several = by_inode.into_values().filter(|names| names.len() > 1);
        let named = several.flat_map(|names| {
            let first = names[0];
            names.into_iter().map(move |name| (name, first))
        });
        named.collect()
    }
}
