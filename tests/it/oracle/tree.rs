//! Trees of ext4 file systems, read without an appliance.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ext4_view::{Ext4, Ext4Read, FileType};

/// The files of a tree: type and mode, owner, and content or target of a link.
pub(super) type Tree = BTreeMap<String, (String, String, Vec<u8>)>;

/// Where LVM's first volume begins, in bytes.
const FIRST_EXTENT: u64 = 1 << 20;

struct Window {
    file: File,
    start: u64,
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.file.read_exact_at(into, self.start + at)?)
    }
}

/// Opens the file system of a disk: it is all of it, or LVM's first volume.
pub(super) fn open(disk: &Path) -> Ext4 {
    let load = |start| {
        let file = File::open(disk).unwrap();
        Ext4::load(Box::new(Window { file, start }))
    };
    load(0).or_else(|_| load(FIRST_EXTENT)).unwrap()
}

/// Every file.
pub(super) fn read(system: &Ext4) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![ext4_view::PathBuf::new("/")];
    while let Some(dir) = dirs.pop() {
        for item in system.read_dir(&dir).unwrap() {
            let item = item.unwrap();
            let path = item.path();
            let name = String::from_utf8_lossy(path.as_ref()).into_owned();
            if name.ends_with("/.") || name.ends_with("/..") || name == "/lost+found" {
                continue;
            }
            let meta = item.metadata().unwrap();
            let content = match meta.file_type() {
                FileType::Regular => system.read(&path).unwrap(),
                FileType::Symlink => {
                    let target = system.read_link(&path).unwrap();
                    <ext4_view::PathBuf as AsRef<[u8]>>::as_ref(&target).to_vec()
                }
                FileType::Directory => {
                    dirs.push(path);
                    vec![]
                }
                _ => vec![],
            };
            let kind = format!("{:?} {:o}", meta.file_type(), meta.mode() & 0o7777);
            let owner = format!("{}:{}", meta.uid(), meta.gid());
            tree.insert(name, (kind, owner, content));
        }
    }
    tree
}

/// The UUIDs of LVM's physical volume and of its group. The label is in the second sector; the
/// header of the text with the group's is at 4096, and says where the newest text begins. Nothing without LVM.
pub(super) fn lvm(disk: &Path) -> Option<[String; 2]> {
    let file = File::open(disk).unwrap();
    let bytes = |at: u64, count: usize| {
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    if bytes(512, 8) != b"LABELONE" {
        return None;
    }
    let volume = String::from_utf8(bytes(512 + 32, 32)).unwrap();
    let offset = u64::from_le_bytes(bytes(4096 + 40, 8).try_into().unwrap());
    let text = String::from_utf8_lossy(&bytes(4096 + offset, 512)).into_owned();
    let group = text
        .split("id = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    Some([volume, group.expect(&text).to_owned()])
}
