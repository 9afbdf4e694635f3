//! How much may be remembered of a disk's files: a disk of anybody's must not fill the memory.

use std::io;

use super::{Content, Kind, Node, Run};

/// The longest path of a file, in bytes: what programs can name (PATH_MAX).
pub(super) const LONGEST_PATH: usize = 4096;

/// What is remembered of any disk, in bytes.
pub(super) const LEAST: u64 = 64 << 20;

/// What is remembered at most, in bytes: about seven million files.
const MOST: u64 = 2 << 30;

/// What may still be remembered.
#[derive(Debug)]
pub(super) struct Bound {
    left: u64,
}

impl Bound {
    /// For a file system of `size` bytes: what it says of its files is no larger than itself.
    pub(super) fn of(size: u64) -> Self {
        Bound {
            left: size.saturating_add(LEAST).min(MOST),
        }
    }

    /// Counts a file.
    pub(super) fn take(&mut self, node: &Node) -> io::Result<()> {
        let attribute = |(name, value): (&String, &Vec<u8>)| name.len() + value.len() + 64;
        let content = match &node.content {
            Content::Runs(runs) => size_of_val::<[Run]>(runs),
            Content::Bytes(bytes) => bytes.len(),
        };
        let link = match &node.kind {
            Kind::Link(to) => to.len(),
            _ => 0,
        };
        let xattrs: usize = node.xattrs.iter().map(attribute).sum();
        self.charge(size_of::<Node>() + node.path.len() + xattrs + content + link)
    }

    /// Counts so many bytes.
    pub(super) fn charge(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.ok_or_else(|| {
            io::Error::other("its list of files is larger than any image's: is it damaged?")
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_has_no_endless_list_of_files() {
        let mut bound = Bound::of(1 << 20);
        let node = Node {
            path: vec![b'x'; LONGEST_PATH],
            kind: Kind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            inode: (0, 0),
            xattrs: std::collections::BTreeMap::new(),
            content: Content::Runs(vec![]),
        };
        let taken = (0..100_000)
            .take_while(|_| bound.take(&node).is_ok())
            .count();
        assert!((10_000..20_000).contains(&taken), "{taken}");
    }
}
