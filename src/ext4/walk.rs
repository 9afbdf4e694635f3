//! Every file of a file system.

use std::collections::HashSet;
use std::io;

use super::{Fs, Inode, LONGEST_PATH, NUMBERED, ROOT, damaged, unknown};

/// Gives every file but the root with its path, which has no slash at either end; a directory comes
/// before what is in it.
#[derive(Debug)]
pub struct Walk<'w> {
    fs: &'w Fs<'w>,
    /// Path and inode of directories that were given.
    dirs: Vec<(Vec<u8>, u64)>,
    dir: Vec<u8>,
    names: std::vec::IntoIter<(Vec<u8>, u64)>,
    seen: HashSet<u64>,
}

impl<'w> Walk<'w> {
    /// Begins at the root.
    #[must_use]
    pub fn new(fs: &'w Fs<'w>) -> Self {
        Walk {
            fs,
            dirs: vec![(vec![], ROOT)],
            dir: vec![],
            names: vec![].into_iter(),
            seen: HashSet::from([ROOT]),
        }
    }

    /// Leaves out what is in this file, which was given last, if it is a directory.
    pub(crate) fn pass_over(&mut self, inode: &Inode) {
        self.dirs.pop_if(|(_, number)| *number == inode.number);
    }

    /// The directory that is read.
    pub(crate) fn dir(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.dir))
    }

    fn file(&mut self, name: Vec<u8>, number: u64) -> io::Result<(Vec<u8>, Inode)> {
        let path = match self.dir.as_slice() {
            b"" => name,
            dir => [dir, b"/", &name].concat(),
        };
        if path.len() > LONGEST_PATH {
            return Err(unknown("a path is longer than programs can name"));
        }
        let inode = self.fs.inode(number)?;
        if inode.is_dir() {
            if !self.seen.insert(number) {
                let shown = String::from_utf8_lossy(&path);
                return Err(damaged(&format!("the directory /{shown} is in two places")));
            }
            let remembered = size_of::<(Vec<u8>, u64)>() + path.len() + NUMBERED;
            self.fs.charge(remembered)?;
            self.dirs.push((path.clone(), number));
        }
        Ok((path, inode))
    }

    fn enter(&mut self, (path, number): (Vec<u8>, u64)) -> io::Result<()> {
        self.dir = path;
        let dir = self.fs.inode(number)?;
        if !dir.is_dir() {
            return Err(damaged("its root is no directory"));
        }
        self.names = self.fs.list(&dir)?.into_iter();
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = io::Result<(Vec<u8>, Inode)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((name, number)) = self.names.next() {
                return Some(self.file(name, number));
            }
            let next = self.dirs.pop()?;
            if let Err(error) = self.enter(next) {
                return Some(Err(error));
            }
        }
    }
}
