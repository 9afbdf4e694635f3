//! Trees of ext4 file systems, read without an appliance.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use imgforge::ext4::{Fs, Walk};

/// The files of a tree: type and mode, owner, and content or target of a link.
pub(super) type Tree = BTreeMap<String, (String, String, Vec<u8>)>;

/// Where LVM's first volume begins, in bytes.
const FIRST_EXTENT: u64 = 1 << 20;

/// Every file of a disk, and its UUID: the file system is all of it, or LVM's first volume.
pub(super) fn read(disk: &Path) -> (Tree, [u8; 16]) {
    let file = File::open(disk).unwrap();
    let start = if lvm(disk).is_some() { FIRST_EXTENT } else { 0 };
    let mut uuid = [0; 16];
    file.read_exact_at(&mut uuid, start + 1024 + 0x68).unwrap();
    let system = Fs::open(&file, start).unwrap();
    let mut tree = Tree::new();
    for found in Walk::new(&system) {
        let (path, inode) = found.unwrap();
        let name = format!("/{}", String::from_utf8_lossy(&path));
        if name == "/lost+found" {
            continue;
        }
        let content = match () {
            () if inode.is_file() => system.read(&inode, u64::MAX).unwrap(),
            () if inode.is_link() => system.link(&inode).unwrap(),
            () => vec![],
        };
        let owner = format!("{}:{}", inode.uid, inode.gid);
        tree.insert(name, (format!("{:o}", inode.mode), owner, content));
    }
    (tree, uuid)
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
