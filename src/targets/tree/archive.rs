//! The tree of any file system that libguestfs mounts, as one archive.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{Content, Kind, Node, Run, Tree, many, pax};
use crate::error::{Context as _, Error, Result};
use crate::ext4::Bound;
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::qemu_img;
use crate::host::space::Frugal;
use crate::targets::SystemDisk;
use crate::ui::StageUi;
use crate::units::Size;

/// The longest extended header, in bytes: a path and all attributes that a file can have.
const LONGEST_HEADER: u64 = 16 << 20;

/// How attributes are called in an archive.
const XATTR: &str = "SCHILY.xattr.";

/// Packs the system's files in an appliance, and lists the archive.
pub(super) fn read(source: &SystemDisk, scratch: &Path, ui: &StageUi) -> Result<Tree> {
    let path = scratch.join("tree.tar");
    ui.step("opening the disk");
    let guest = Guestfs::launch(&Launch {
        drives: &[Drive::readonly(source.disk(), source.format())],
        accel: source.accel(),
        ui: Some(ui),
    })?;
    let listed = guest.listed()?;
    let found = guest.roots(&listed)?;
    if found.roots.len() > 1 {
        return Err(many(&found.roots));
    }
    for note in guest.mount_found(&found, &listed)?.notes {
        ui.ui().warning(note);
    }
    ui.step("copying the files out of the disk");
    guest.pack_sparsely()?;
    let disk = qemu_img::info(source.disk(), source.format())?.virtual_size;
    let most = disk.saturating_mul(LARGEST);
    let copy = |archive: &mut File| copied(archive, &path, most);
    let ((), written) = guest.packed("/", &[], copy)?;
    written?;
    guest.close()?;
    list(&path)
}

/// How many times as much as a disk is large its files may be: some compress, and share what is
/// equal.
const LARGEST: u64 = 4;

/// Writes an archive of at most `most` bytes to `path`.
///
/// # Errors
/// When there is more, or it cannot be written.
fn copied(archive: &mut impl Read, path: &Path, most: u64) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let mut file = Frugal::create(path).doing(doing)?;
    let copied = io::copy(&mut archive.take(most), &mut file).doing(doing)?;
    if copied == most && archive.read(&mut [0]).doing(doing)? > 0 {
        let [most, disk] = [most, most / LARGEST].map(|bytes| Size::bytes(bytes).human());
        return Err(
            Error::usage("the files of the image are much larger than its disk").cause(format!(
                "they have more than {most}, and the disk has {disk}: files that share their \
                 blocks would be as many copies"
            )),
        );
    }
    Ok(())
}

/// Lists an archive; contents stay in it.
pub(crate) fn list(path: &Path) -> Result<Tree> {
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
                extended = records(&mut member, doing)?;
                continue;
            }
            tar::EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let pax = std::mem::take(&mut extended);
        if pax.contains_key("size") {
            return Err(Error::usage("a file of the image is larger than 8 GiB")
                .cause("only a disk with nothing but ext4 can have such files here"));
        }
        let path = match pax.get(SPARSE_NAME).or_else(|| pax.get("path")) {
            Some(path) => name(path),
            None => name(&member.path_bytes()),
        };
        let link = match pax.get("linkpath") {
            Some(link) => link.clone(),
            None => member.link_name_bytes().unwrap_or_default().into_owned(),
        };
        let kind = match member.header().entry_type() {
            tar::EntryType::Link => {
                if let Some(first) = known.get(&name(&link)) {
                    let mut other = nodes[*first].clone();
                    other.path = path;
                    bound.charge(other.weight()).doing(doing)?;
                    nodes.push(other);
                }
                continue;
            }
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Link(link),
            tar::EntryType::GNUSparse => return Err(other_holes()),
            tar::EntryType::Regular | tar::EntryType::Continuous => Kind::File,
            _ => Kind::Special,
        };
        if path == b"lost+found" || path.starts_with(b"lost+found/") {
            continue;
        }
        let node = node(&mut member, &pax, (path, kind, number as u64)).doing(doing)?;
        bound.charge(node.weight()).doing(doing)?;
        known.insert(node.path.clone(), nodes.len());
        nodes.push(node);
    }
    Ok(Tree::new(file, nodes))
}

/// The records of a pax header, which are about the next member.
fn records(
    member: &mut tar::Entry<'_, impl Read>,
    doing: impl Fn() -> String,
) -> Result<BTreeMap<String, Vec<u8>>> {
    if member.size() > LONGEST_HEADER {
        return Err(Error::internal("the archive has a header that is too long"));
    }
    let mut data = vec![];
    member.read_to_end(&mut data).doing(doing)?;
    let records = pax::records(&data);
    let records = records.map(|records| records.into_iter().collect());
    records.ok_or_else(|| Error::internal("the archive has a header of another form"))
}

fn node(
    member: &mut tar::Entry<'_, impl Read>,
    pax: &BTreeMap<String, Vec<u8>>,
    (path, kind, number): (Vec<u8>, Kind, u64),
) -> io::Result<Node> {
    let (size, runs) = match kind {
        Kind::File => content(member, pax)?,
        _ => (0, vec![]),
    };
    let header = member.header();
    Ok(Node {
        kind,
        mode: header.mode()? & 0o7777,
        uid: header.uid()? as u32,
        gid: header.gid()? as u32,
        mtime: header.mtime()? as i64,
        size,
        inode: (0, number),
        xattrs: xattrs(pax),
        content: Content::Runs(runs),
        path,
    })
}

/// Names of the records about a file with holes; its header has another name.
const SPARSE_NAME: &str = "GNU.sparse.name";
const SPARSE_SIZE: &str = "GNU.sparse.realsize";
const SPARSE: &str = "GNU.sparse.";

fn other_holes() -> Error {
    Error::internal("the archive has a file whose holes are stored in another form")
}

/// Size and runs of a file. One with holes, in the version 1.0 of GNU's format, begins with a list
/// of its parts: lines with their number, and of each the place and the length; filled up to a
/// block.
fn content(
    member: &mut tar::Entry<'_, impl Read>,
    pax: &BTreeMap<String, Vec<u8>>,
) -> io::Result<(u64, Vec<Run>)> {
    let first = member.raw_file_position();
    if !pax.keys().any(|key| key.starts_with(SPARSE)) {
        let (at, len) = (0, member.size());
        let place = first;
        return Ok((len, vec![Run { at, place, len }]));
    }
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let pax = |name: &str| number(pax.get(name)?);
    let other = || io::Error::other("a file's holes are stored in another form");
    let (Some(1), Some(0), Some(size)) = (
        pax("GNU.sparse.major"),
        pax("GNU.sparse.minor"),
        pax(SPARSE_SIZE),
    ) else {
        return Err(other());
    };
    let (mut held, mut read) = (vec![], 0);
    let mut next = || -> io::Result<u64> {
        loop {
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                return number(&line[..end]).ok_or_else(other);
            }
            let mut block = [0; BLOCK];
            member.read_exact(&mut block)?;
            read += BLOCK as u64;
            held.extend(block);
        }
    };
    let mut runs = vec![];
    let (mut place, mut end) = (0, 0);
    for _ in 0..next()? {
        let (at, len) = (next()?, next()?);
        if at < end || at.checked_add(len).is_none_or(|end| end > size) {
            return Err(other());
        }
        end = at + len;
        if len > 0 {
            runs.push(Run { at, place, len });
        }
        place += len;
    }
    if read + place > member.size() {
        return Err(other());
    }
    runs.iter_mut().for_each(|run| run.place += first + read);
    Ok((size, runs))
}

/// Archives are made of such blocks, in bytes.
const BLOCK: usize = 512;

fn name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b".").unwrap_or(path);
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path).to_vec()
}

/// Extended attributes, among them the lists that an archive has as texts.
fn xattrs(pax: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (key, value) in pax {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn a_huge_file_with_holes_is_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let (files, archive) = (dir.path().join("files"), dir.path().join("tree.tar"));
        std::fs::create_dir(&files).unwrap();
        let huge = File::create(files.join("huge")).unwrap();
        huge.set_len(500 << 30).unwrap();
        huge.write_all_at(b"first", 0).unwrap();
        huge.write_all_at(b"middle", 300 << 30).unwrap();
        std::fs::write(files.join("small"), "whole").unwrap();
        // As the appliance calls it.
        let tar = Program::new("tar").args(["--sparse", "--xattrs", "--acls"]);
        let tar = tar.arg("-C").arg(&files).arg("-cf").arg(&archive).arg(".");
        tar.run().unwrap();
        assert!(std::fs::metadata(&archive).unwrap().len() < 1 << 20);
        let tree = list(&archive).unwrap();
        let node = |path: &str| {
            let mut nodes = tree.nodes.iter();
            nodes.find(|node| node.path == path.as_bytes()).unwrap()
        };
        let text = |run: &Run, len: usize| {
            let mut text = vec![0; len];
            tree.file.read_exact_at(&mut text, run.place).unwrap();
            text
        };
        let (huge, small) = (node("huge"), node("small"));
        assert_eq!((huge.size, small.size), (500 << 30, 5));
        let (Content::Runs(runs), Content::Runs(whole)) = (&huge.content, &small.content) else {
            panic!("{tree:?}");
        };
        let places: Vec<u64> = runs.iter().map(|run| run.at).collect();
        assert_eq!(places, [0, 300 << 30]);
        assert_eq!(text(&runs[0], 5), b"first");
        assert_eq!(text(&runs[1], 6), b"middle");
        assert_eq!((text(&whole[0], 5), whole.len()), (b"whole".to_vec(), 1));
    }

    #[test]
    fn no_archive_fills_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tree.tar");
        copied(&mut io::repeat(0).take(64 << 10), &path, 64 << 10).unwrap();
        let why = copied(&mut io::repeat(0), &path, 64 << 10).unwrap_err();
        assert!(why.message().contains("larger than its disk"), "{why:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 64 << 10);
    }
}
