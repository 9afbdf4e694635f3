//! The tree of any file system that libguestfs mounts, as one archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{Content, Kind, Node, Run, Tree, many};
use crate::error::{Context as _, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::target::Source;
use crate::ui::StageUi;

/// How attributes are called in an archive.
const XATTR: &str = "SCHILY.xattr.";

/// Packs the system's files in an appliance, and lists the archive.
pub(super) fn read(source: &Source, scratch: &Path, ui: &StageUi) -> Result<Tree> {
    let path = scratch.join("tree.tar");
    ui.step("opening the disk");
    let drives = [Drive {
        path: source.disk(),
        format: source.format(),
        readonly: true,
    }];
    let guest = Guestfs::launch(&Launch {
        drives: &drives,
        accel: source.accel(),
        ui: Some(ui),
    })?;
    let roots = guest.inspect_os()?;
    if roots.len() > 1 {
        return Err(many(&roots));
    }
    guest.mount_root()?;
    ui.step("copying the files out of the disk");
    guest.tar_out("/", &path)?;
    guest.close()?;
    list(&path)
}

/// Lists an archive; contents stay in it.
fn list(path: &Path) -> Result<Tree> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).doing(doing)?;
    let mut archive = tar::Archive::new(BufReader::new(File::open(path).doing(doing)?));
    let mut nodes: Vec<Node> = vec![];
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    for (number, member) in archive.entries().doing(doing)?.enumerate() {
        let mut member = member.doing(doing)?;
        let path = name(&member.path_bytes());
        let kind = match member.header().entry_type() {
            tar::EntryType::Link => {
                let first = member.link_name_bytes().map(|to| name(&to));
                if let Some(first) = first.and_then(|first| known.get(&first)) {
                    let mut other = nodes[*first].clone();
                    other.path = path;
                    nodes.push(other);
                }
                continue;
            }
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => {
                Kind::Link(member.link_name_bytes().unwrap_or_default().into_owned())
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                Kind::File
            }
            _ => Kind::Special,
        };
        if path == b"lost+found" || path.starts_with(b"lost+found/") {
            continue;
        }
        let size = if kind == Kind::File { member.size() } else { 0 };
        let run = Run {
            at: 0,
            place: member.raw_file_position(),
            len: size,
        };
        let xattrs = xattrs(&mut member).doing(doing)?;
        let header = member.header();
        let node = Node {
            kind,
            mode: header.mode().doing(doing)? & 0o7777,
            uid: header.uid().doing(doing)? as u32,
            gid: header.gid().doing(doing)? as u32,
            mtime: header.mtime().doing(doing)? as i64,
            size,
            inode: (0, number as u64),
            xattrs,
            content: Content::Runs(vec![run]),
            path,
        };
        known.insert(node.path.clone(), nodes.len());
        nodes.push(node);
    }
    Ok(Tree::new(file, nodes))
}

fn name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b".").unwrap_or(path);
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path).to_vec()
}

fn xattrs(
    member: &mut tar::Entry<'_, impl std::io::Read>,
) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for extension in member.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR)) else {
            continue;
        };
        if name != "security.selinux" {
            all.insert(name.to_owned(), extension.value_bytes().to_vec());
        }
    }
    Ok(all)
}
