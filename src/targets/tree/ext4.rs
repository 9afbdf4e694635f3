//! The files of an ext2, ext3 or ext4 that was unmounted in order.

use std::fs::File;
use std::io;

use super::{Content, Kind, Node};
use crate::ext4::{Fs, Inode, Walk};

/// Reads the file system at `start`, whose root has an empty path; `None` when it has what is not
/// known here.
pub(crate) fn read(file: &File, start: u64, volume: u32) -> io::Result<Option<Vec<Node>>> {
    let nodes = Fs::open(file, start).and_then(|fs| nodes(&fs, volume));
    match nodes {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        nodes => nodes.map(Some),
    }
}

fn nodes(fs: &Fs<'_>, volume: u32) -> io::Result<Vec<Node>> {
    let mut nodes = vec![node(fs, &fs.root()?, (volume, vec![]))?];
    let mut walk = Walk::new(fs);
    while let Some(file) = walk.next() {
        let (path, inode) = file?;
        if path == b"lost+found" {
            walk.pass_over(&inode);
            continue;
        }
        let node = node(fs, &inode, (volume, path))?;
        fs.charge(node.weight())?;
        nodes.push(node);
    }
    Ok(nodes)
}

fn node(fs: &Fs<'_>, inode: &Inode, (volume, path): (u32, Vec<u8>)) -> io::Result<Node> {
    if inode.is_encrypted() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (kind, runs) = match () {
        () if inode.is_file() => (Kind::File, fs.runs(inode)?),
        () if inode.is_dir() => (Kind::Directory, vec![]),
        () if inode.is_link() => (Kind::Link(fs.link(inode)?), vec![]),
        () => (Kind::Special, vec![]),
    };
    let size = match kind {
        Kind::File | Kind::Directory => inode.size,
        Kind::Link(_) | Kind::Special => 0,
    };
    Ok(Node {
        path,
        kind,
        mode: inode.mode & 0o7777,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        size,
        inode: (volume, inode.number),
        xattrs: fs.xattrs(inode)?,
        content: Content::Runs(runs),
    })
}
