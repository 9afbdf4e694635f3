//! Files that are mostly holes: an archive holds all of their zeroes.
//!
//! The forms of tar that leave holes out (old GNU, PAX 0.0 to 1.0) would be smaller, but only before
//! compression: zeroes compress a thousandfold. Go's archive/tar, by which docker, podman and
//! containerd unpack layers, reads them and then writes every zero all the same, and WSL and other
//! readers of a root file system are free not to know them. So layers are plain, and this is told.

use super::{Content, Kind, Node};
use crate::ui::StageUi;
use crate::units::Size;

/// From this size on a file with holes is worth a word, in bytes.
const LARGE: u64 = 256 << 20;

/// Names what will take long to pack, and to unpack wherever the archive goes.
pub(super) fn tell(nodes: &[Node], ui: &StageUi) {
    for node in nodes.iter().filter(|node| is_hollow(node)) {
        ui.ui().warning(format!(
            "/{} is a sparse file of {}, which archives hold with all its zeroes; a step can \
             shrink or remove it",
            crate::ui::printable(&String::from_utf8_lossy(&node.path)),
            Size::bytes(node.size)
        ));
    }
}

fn is_hollow(node: &Node) -> bool {
    let Content::Runs(runs) = &node.content else {
        return false;
    };
    let stored: u64 = runs.iter().map(|run| run.len).sum();
    node.kind == Kind::File && node.size >= LARGE && stored <= node.size / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::tree::Run;

    #[test]
    fn a_large_file_with_little_data_is_hollow() {
        let file = |size, len| Node {
            path: b"var/log/lastlog".to_vec(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size,
            inode: (1, 12),
            xattrs: std::collections::BTreeMap::new(),
            content: Content::Runs(vec![Run {
                at: 0,
                place: 0,
                len,
            }]),
        };
        assert!(is_hollow(&file(200 << 30, 4096)));
        assert!(!is_hollow(&file(1 << 30, 1 << 30)) && !is_hollow(&file(1 << 20, 4096)));
    }
}
