//! The tree of any file system that libguestfs mounts, as one archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use super::bound::Bound;
use super::{Content, Kind, Node, Run, Tree, many, pax};
use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::target::Source;
use crate::ui::StageUi;

/// The longest extended header, in bytes: a path and all attributes that a file can have.
const LONGEST_HEADER: u64 = 16 << 20;

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
    let roots = guest.roots()?.roots;
    if roots.len() > 1 {
        return Err(many(&roots));
    }
    for note in guest.mount_root()?.notes {
        ui.ui().warning(note);
    }
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
    let mut bound = Bound::of(file.metadata().doing(doing)?.len());
    let mut nodes: Vec<Node> = vec![];
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut extended: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let members = archive.entries().doing(doing)?.raw(true);
    for (number, member) in members.enumerate() {
        let mut member = member.doing(doing)?;
        match member.header().entry_type() {
            tar::EntryType::XHeader => {
                if member.size() > LONGEST_HEADER {
                    return Err(Error::internal("the archive has a header that is too long"));
                }
                let mut data = vec![];
                member.read_to_end(&mut data).doing(doing)?;
                let records = pax::records(&data)
                    .ok_or_else(|| Error::internal("the archive has a header of another form"))?;
                extended = records.into_iter().collect();
                continue;
            }
            tar::EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let told = std::mem::take(&mut extended);
        if told.contains_key("size") {
            return Err(Error::usage("a file of the image is larger than 8 GiB")
                .cause("only a disk with nothing but ext4 can have such files here"));
        }
        let path = match told.get("path") {
            Some(path) => name(path),
            None => name(&member.path_bytes()),
        };
        let link = match told.get("linkpath") {
            Some(link) => link.clone(),
            None => member.link_name_bytes().unwrap_or_default().into_owned(),
        };
        let kind = match member.header().entry_type() {
            tar::EntryType::Link => {
                if let Some(first) = known.get(&name(&link)) {
                    let mut other = nodes[*first].clone();
                    other.path = path;
                    bound.take(&other).doing(doing)?;
                    nodes.push(other);
                }
                continue;
            }
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Link(link),
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
        let xattrs = xattrs(&told);
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
        bound.take(&node).doing(doing)?;
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

/// Extended attributes, among them the lists that an archive has as texts.
fn xattrs(told: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (key, value) in told {
        match (key.strip_prefix(XATTR), key.as_str()) {
            (Some("security.selinux"), _) => {}
            (Some(name), _) => drop(all.insert(name.to_owned(), value.clone())),
            (None, "SCHILY.acl.access") => {
                all.extend(pax::acl(value).map(|list| ("system.posix_acl_access".into(), list)));
            }
            (None, "SCHILY.acl.default") => {
                all.extend(pax::acl(value).map(|list| ("system.posix_acl_default".into(), list)));
            }
            _ => {}
        }
    }
    all
}
