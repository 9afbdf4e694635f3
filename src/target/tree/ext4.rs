//! The files of an ext4 file system that was unmounted in order, from its own structures.
//!
//! The layout is that of the kernel's Documentation/filesystems/ext4. What is not known here (an
//! unfinished journal, inline data, encryption, files without extents) is for the appliance.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::{Content, Kind, Node, Run};

/// Features that change how files are found, and are known here: types in directories, extents,
/// 64 bits, flexible groups, a seed for checksums, large directories, multiple-mount protection.
const KNOWN: u32 = 0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000 | 0x4000;

const ROOT: u64 = 2;

/// How deep a tree of extents can be.
const DEEPEST: u16 = 5;

/// A file system's files.
#[derive(Debug)]
pub(super) struct System {
    /// Its UUID, as fstab has it.
    pub(super) uuid: String,
    /// Its label.
    pub(super) label: String,
    /// Its files; the root's path is empty.
    pub(super) nodes: Vec<Node>,
}

/// Reads the file system at `start`; `None` when it has what is not known here.
pub(super) fn read(file: &File, start: u64, volume: u32) -> io::Result<Option<System>> {
    let mut block = [0; 1024];
    file.read_exact_at(&mut block, start + 1024)?;
    let incompatible = u32_at(&block, 0x60);
    if u16_at(&block, 0x38) != 0xef53 || incompatible & !KNOWN != 0 || incompatible & 0x40 == 0 {
        return Ok(None);
    }
    let wide = incompatible & 0x80 != 0;
    let fs = Fs {
        file,
        start,
        volume,
        block: 1024 << u32_at(&block, 0x18).min(6),
        first: u64::from(u32_at(&block, 0x14)),
        per_group: u64::from(u32_at(&block, 0x28)).max(1),
        inode: u64::from(u16_at(&block, 0x58)).max(128),
        descriptor: if wide {
            u64::from(u16_at(&block, 0xfe)).max(32)
        } else {
            32
        },
    };
    let uuid = uuid::Uuid::from_slice(&block[0x68..0x78]).unwrap_or_default();
    let label = block[0x78..0x88]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let mut nodes = vec![];
    let known = fs.walk(&mut nodes)?;
    Ok(known.then(|| System {
        uuid: uuid.to_string(),
        label: String::from_utf8_lossy(label).into_owned(),
        nodes,
    }))
}

struct Fs<'a> {
    file: &'a File,
    start: u64,
    volume: u32,
    block: u64,
    first: u64,
    per_group: u64,
    inode: u64,
    descriptor: u64,
}

impl Fs<'_> {
    fn bytes(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, self.start + at)?;
        Ok(bytes)
    }

    /// Whether everything was known.
    fn walk(&self, nodes: &mut Vec<Node>) -> io::Result<bool> {
        let Some(root) = self.node(ROOT, vec![])? else {
            return Ok(false);
        };
        let mut dirs = vec![root.clone()];
        nodes.push(root);
        while let Some(dir) = dirs.pop() {
            for (name, inode) in self.list(&dir)? {
                let path = match dir.path.as_slice() {
                    b"" if name == b"lost+found" => continue,
                    b"" => name,
                    parent => [parent, b"/", &name].concat(),
                };
                let Some(node) = self.node(inode, path)? else {
                    return Ok(false);
                };
                if node.kind == Kind::Directory {
                    dirs.push(node.clone());
                }
                nodes.push(node);
            }
        }
        Ok(true)
    }

    fn raw_inode(&self, number: u64) -> io::Result<Vec<u8>> {
        let (group, index) = ((number - 1) / self.per_group, (number - 1) % self.per_group);
        let table = (self.first + 1) * self.block + group * self.descriptor;
        let descriptor = self.bytes(table, self.descriptor)?;
        let mut at = u64::from(u32_at(&descriptor, 8));
        if self.descriptor >= 64 {
            at |= u64::from(u32_at(&descriptor, 0x28)) << 32;
        }
        self.bytes(at * self.block + index * self.inode, self.inode)
    }

    /// A file; `None` when it is stored in a way that is not known here.
    fn node(&self, number: u64, path: Vec<u8>) -> io::Result<Option<Node>> {
        let inode = self.raw_inode(number)?;
        let (mode, flags) = (u16_at(&inode, 0), u32_at(&inode, 0x20));
        let kind = mode & 0o170_000;
        let size = u64::from(u32_at(&inode, 4)) | u64::from(u32_at(&inode, 0x6c)) << 32;
        let (extents, inline) = (flags & 0x8_0000 != 0, flags & 0x1000_0000 != 0);
        let stored = matches!(kind, 0o100_000 | 0o040_000 | 0o120_000);
        let short = kind == 0o120_000 && size < 60 && !extents;
        if inline || (stored && !extents && !short && size > 0) {
            return Ok(None);
        }
        let runs = match stored && extents {
            true => match self.extents(&inode[0x28..0x64], DEEPEST)? {
                Some(runs) => runs,
                None => return Ok(None),
            },
            false => vec![],
        };
        let Some(xattrs) = self.xattrs(&inode)? else {
            return Ok(None);
        };
        let wide =
            |low, high| u32::from(u16_at(&inode, low)) | u32::from(u16_at(&inode, high)) << 16;
        let mut node = Node {
            path,
            kind: Kind::Special,
            mode: u32::from(mode & 0o7777),
            uid: wide(2, 0x78),
            gid: wide(0x18, 0x7a),
            mtime: self.mtime(&inode),
            size: 0,
            inode: (self.volume, number),
            xattrs,
            content: Content::Runs(runs),
        };
        match kind {
            0o100_000 => (node.kind, node.size) = (Kind::File, size),
            0o040_000 => (node.kind, node.size) = (Kind::Directory, size),
            0o120_000 if short => {
                node.kind = Kind::Link(inode[0x28..0x28 + size as usize].to_vec());
            }
            0o120_000 => {
                let Content::Runs(runs) = &node.content else {
                    return Ok(None);
                };
                let Some(first) = runs.first().filter(|run| run.at == 0 && run.len >= size) else {
                    return Ok(None);
                };
                node.kind = Kind::Link(self.bytes(first.place - self.start, size)?);
            }
            _ => {}
        }
        if !matches!(node.kind, Kind::File | Kind::Directory) {
            node.content = Content::Runs(vec![]);
        }
        Ok(Some(node))
    }

    fn mtime(&self, inode: &[u8]) -> i64 {
        let seconds = i64::from(u32_at(inode, 0x10) as i32);
        let extra = self.inode > 128 && u16_at(inode, 0x80) >= 12;
        match extra {
            true => seconds + (i64::from(u32_at(inode, 0x88) & 3) << 32),
            false => seconds,
        }
    }

    /// The runs of a node of the tree of extents; those without data are holes.
    fn extents(&self, node: &[u8], deepest: u16) -> io::Result<Option<Vec<Run>>> {
        let (magic, count, depth) = (u16_at(node, 0), u16_at(node, 2), u16_at(node, 6));
        if magic != 0xf30a || depth > deepest || (usize::from(count) + 1) * 12 > node.len() {
            return Ok(None);
        }
        let mut runs = vec![];
        for entry in node[12..].chunks_exact(12).take(usize::from(count)) {
            if depth > 0 {
                let place = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                let below = self.bytes(place * self.block, self.block)?;
                match self.extents(&below, depth - 1)? {
                    Some(more) => runs.extend(more),
                    None => return Ok(None),
                }
                continue;
            }
            let len = u16_at(entry, 4);
            if len > 32768 {
                continue;
            }
            let place = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
            runs.push(Run {
                at: u64::from(u32_at(entry, 0)) * self.block,
                place: self.start + place * self.block,
                len: u64::from(len) * self.block,
            });
        }
        runs.sort_by_key(|run| run.at);
        Ok(Some(runs))
    }

    /// Names and inodes of a directory. An index is hidden in entries without an inode.
    fn list(&self, dir: &Node) -> io::Result<Vec<(Vec<u8>, u64)>> {
        let mut all = vec![];
        let Content::Runs(runs) = &dir.content else {
            return Ok(all);
        };
        for run in runs {
            let bytes = self.bytes(run.place - self.start, run.len)?;
            for block in bytes.chunks_exact(self.block as usize) {
                let mut at = 0;
                while at + 8 <= block.len() {
                    let length = usize::from(u16_at(block, at + 4));
                    let name = usize::from(block[at + 6]);
                    if length < 8 || at + length > block.len() || name + 8 > length {
                        return Err(io::Error::other("a directory is damaged"));
                    }
                    let text = &block[at + 8..at + 8 + name];
                    let inode = u32_at(block, at);
                    if inode != 0 && text != b"." && text != b".." {
                        all.push((text.to_vec(), u64::from(inode)));
                    }
                    at += length;
                }
            }
        }
        Ok(all)
    }

    /// The attributes in the inode and in its block; `None` when one lies in a file of its own.
    fn xattrs(&self, inode: &[u8]) -> io::Result<Option<BTreeMap<String, Vec<u8>>>> {
        let mut all = BTreeMap::new();
        let body = 128
            + usize::from(if inode.len() > 128 {
                u16_at(inode, 0x80)
            } else {
                0
            });
        if inode.len() > body + 8 && u32_at(inode, body) == 0xea02_0000 {
            let area = &inode[body + 4..];
            if !attributes(area, 0, &mut all) {
                return Ok(None);
            }
        }
        let block = u64::from(u32_at(inode, 0x68)) | u64::from(u16_at(inode, 0x76)) << 32;
        if block != 0 {
            let bytes = self.bytes(block * self.block, self.block)?;
            if u32_at(&bytes, 0) != 0xea02_0000 || !attributes(&bytes, 32, &mut all) {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }
}

/// Reads attributes whose entries begin at `at`; values are relative to the start of `area`.
/// Whether all of them were known.
fn attributes(area: &[u8], mut at: usize, all: &mut BTreeMap<String, Vec<u8>>) -> bool {
    while at + 16 <= area.len() && u32_at(area, at) != 0 {
        let (length, index) = (usize::from(area[at]), area[at + 1]);
        let (from, count) = (
            usize::from(u16_at(area, at + 2)),
            u32_at(area, at + 8) as usize,
        );
        let name = area.get(at + 16..at + 16 + length);
        let (Some(name), Some(value)) = (name, area.get(from..from + count)) else {
            return false;
        };
        if u32_at(area, at + 4) != 0 {
            return false;
        }
        let name = String::from_utf8_lossy(name);
        let full = match index {
            1 => format!("user.{name}"),
            2 => "system.posix_acl_access".into(),
            3 => "system.posix_acl_default".into(),
            4 => format!("trusted.{name}"),
            6 => format!("security.{name}"),
            _ => return false,
        };
        let value = match index {
            2 | 3 => match acl(value) {
                Some(value) => value,
                None => return false,
            },
            _ => value.to_vec(),
        };
        if full != "security.selinux" {
            all.insert(full, value);
        }
        at += 16 + length.next_multiple_of(4);
    }
    true
}

/// An access control list as getxattr(2) gives it: each entry with an id.
fn acl(stored: &[u8]) -> Option<Vec<u8>> {
    let mut rest = stored.strip_prefix(&1u32.to_le_bytes())?;
    let mut list = 2u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let named = matches!(u16_at(rest.get(..4)?, 0), 2 | 8);
        list.extend(&rest[..4]);
        rest = &rest[4..];
        match named {
            true => {
                list.extend(rest.get(..4)?);
                rest = &rest[4..];
            }
            false => list.extend(u32::MAX.to_le_bytes()),
        }
    }
    Some(list)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
