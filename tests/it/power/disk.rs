//! What a disk may hold after a power loss.
//!
//! A model of a file system that promises no more than POSIX does: the content of a file lasts once
//! the file was synced, a name once its directory was. Everything else may have reached the disk or
//! not. A rename is one change of two names, which the directory that was synced has for certain.
//!
//! After N changes of names that were not synced, a disk may hold any of 2^N. [`Disk::states`] gives
//! these of them: none, all, each alone, and all but each. With all names, what was written to files
//! and not synced is lost, half there, and there; with the others it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file, directory or link; the root of the disk is 0.
pub(crate) type Id = usize;
/// A name: the directory that has it, and itself.
type Name = (Id, String);
/// What names lead to.
type Names = BTreeMap<Name, Id>;

/// What lies at a path below the root of a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Dir,
    File(Vec<u8>),
    Link(String),
}

/// Everything on a disk, by path.
pub(crate) type Tree = BTreeMap<String, Kind>;

#[derive(Debug)]
struct Node {
    now: Kind,
    /// As it was synced last; of a file only.
    synced: Kind,
}

/// One call's change of names: what each leads to afterwards.
type Change = Vec<(Name, Option<Id>)>;

/// A directory tree, what of it is on the disk, and what is on the way there.
#[derive(Debug)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
    now: Names,
    synced: Names,
    pending: Vec<Change>,
}

/// What is there of what was written to files and not synced.
#[derive(Debug, Clone, Copy)]
enum Data {
    Lost,
    Half,
    Whole,
}

impl Disk {
    /// A disk on which all of `tree` lasts.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut disk = Disk {
            nodes: vec![],
            now: Names::new(),
            synced: Names::new(),
            pending: vec![],
        };
        disk.node(Kind::Dir);
        for (path, kind) in tree {
            let name = disk.name(path).expect("a directory comes before its files");
            let id = disk.node(kind.clone());
            disk.nodes[id].synced = kind.clone();
            disk.now.insert(name, id);
        }
        disk.synced = disk.now.clone();
        disk
    }

    fn node(&mut self, now: Kind) -> Id {
        let synced = match &now {
            Kind::File(_) => Kind::File(vec![]),
            other => other.clone(),
        };
        self.nodes.push(Node { now, synced });
        self.nodes.len() - 1
    }

    /// What lies at a path.
    pub(crate) fn find(&self, path: &str) -> Option<Id> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(0, |dir, part| {
            self.now.get(&(dir, part.to_owned())).copied()
        })
    }

    fn name(&self, path: &str) -> Option<Name> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Some((self.find(dir)?, name.to_owned()))
    }

    fn change(&mut self, change: Change) {
        for (name, id) in &change {
            match id {
                Some(id) => self.now.insert(name.clone(), *id),
                None => self.now.remove(name),
            };
        }
        self.pending.push(change);
    }

    /// A new file, directory or link; a file that is there stays.
    pub(crate) fn create(&mut self, path: &str, kind: Kind) {
        if let (None, Some(name)) = (self.find(path), self.name(path)) {
            let id = self.node(kind);
            self.change(vec![(name, Some(id))]);
        }
    }

    pub(crate) fn remove(&mut self, path: &str) {
        if let Some(name) = self.name(path) {
            self.change(vec![(name, None)]);
        }
    }

    /// Another name of a file.
    pub(crate) fn link(&mut self, from: &str, to: &str) {
        if let (Some(id), Some(to)) = (self.find(from), self.name(to)) {
            self.change(vec![(to, Some(id))]);
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let (Some(id), Some(from), Some(to)) = (self.find(from), self.name(from), self.name(to))
        {
            self.change(vec![(to, Some(id)), (from, None)]);
        }
    }

    /// The content of a file.
    pub(crate) fn content(&mut self, file: Id) -> &mut Vec<u8> {
        match &mut self.nodes[file].now {
            Kind::File(bytes) => bytes,
            other => panic!("{other:?} has no content"),
        }
    }

    /// Makes a file's content, or a directory's names, last.
    pub(crate) fn sync(&mut self, id: Id) {
        self.nodes[id].synced = self.nodes[id].now.clone();
        for change in &mut self.pending {
            for (name, leads) in change.extract_if(.., |((dir, _), _)| *dir == id) {
                match leads {
                    Some(leads) => self.synced.insert(name, leads),
                    None => self.synced.remove(&name),
                };
            }
        }
        self.pending.retain(|change| !change.is_empty());
    }

    /// Makes everything last.
    pub(crate) fn sync_all(&mut self) {
        (0..self.nodes.len()).for_each(|id| self.sync(id));
    }

    /// Everything as programs see it.
    pub(crate) fn now(&self) -> Tree {
        self.tree(&self.now, Data::Whole)
    }

    /// What may be there after a power loss now.
    pub(crate) fn states(&self) -> BTreeSet<Tree> {
        let some = |wanted: &dyn Fn(usize) -> bool| {
            let mut names = self.synced.clone();
            let pending = self.pending.iter().enumerate();
            for (_, change) in pending.filter(|(number, _)| wanted(*number)) {
                for (name, id) in change {
                    match id {
                        Some(id) => names.insert(name.clone(), *id),
                        None => names.remove(name),
                    };
                }
            }
            names
        };
        let all = some(&|_| true);
        let data = [Data::Lost, Data::Half, Data::Whole];
        let mut states: BTreeSet<Tree> = data.map(|data| self.tree(&all, data)).into();
        states.insert(self.tree(&self.synced, Data::Lost));
        for one in 0..self.pending.len() {
            states.insert(self.tree(&some(&|number| number == one), Data::Lost));
            states.insert(self.tree(&some(&|number| number != one), Data::Lost));
        }
        states
    }

    fn tree(&self, names: &Names, data: Data) -> Tree {
        let mut tree = Tree::new();
        let mut dirs = vec![(0, String::new())];
        while let Some((dir, path)) = dirs.pop() {
            let below = names.range((dir, String::new())..(dir + 1, String::new()));
            for ((_, name), id) in below {
                let path = format!("{path}{name}");
                let kind = self.kind(*id, data);
                if kind == Kind::Dir {
                    dirs.push((*id, format!("{path}/")));
                }
                tree.insert(path, kind);
            }
        }
        tree
    }

    fn kind(&self, id: Id, data: Data) -> Kind {
        let node = &self.nodes[id];
        match (&node.now, data) {
            (Kind::File(now), Data::Half) if node.now != node.synced => {
                Kind::File(now[..now.len() / 2].to_vec())
            }
            (now, Data::Half | Data::Whole) => now.clone(),
            (_, Data::Lost) => node.synced.clone(),
        }
    }
}

/// Everything below a directory.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![(root.to_owned(), String::new())];
    while let Some((dir, below)) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
            let kind = if path.is_symlink() {
                Kind::Link(path.read_link().unwrap().to_str().unwrap().to_owned())
            } else if path.is_dir() {
                dirs.push((path, format!("{name}/")));
                Kind::Dir
            } else if path.is_file() {
                Kind::File(std::fs::read(path).unwrap())
            } else {
                // Sockets do not last.
                continue;
            };
            tree.insert(name, kind);
        }
    }
    tree
}

/// Makes the directory hold this and nothing else.
pub(crate) fn restore(tree: &Tree, root: &Path) {
    if root.exists() {
        std::fs::remove_dir_all(root).unwrap();
    }
    std::fs::create_dir(root).unwrap();
    for (path, kind) in tree {
        let path = root.join(path);
        match kind {
            Kind::Dir => std::fs::create_dir(path).unwrap(),
            Kind::File(bytes) => std::fs::write(path, bytes).unwrap(),
            Kind::Link(to) => std::os::unix::fs::symlink(to, path).unwrap(),
        }
    }
}

/// What is different between two trees, for people.
pub(crate) fn differences(one: &Tree, other: &Tree) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let show = |kind: Option<&Kind>| match kind {
        None => "nothing".to_owned(),
        Some(Kind::Dir) => "a directory".to_owned(),
        Some(Kind::Link(to)) => format!("a link to {to}"),
        Some(Kind::File(bytes)) => format!("{} bytes", bytes.len()),
    };
    let differ = paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path));
    let told = differ.map(|path| {
        format!(
            "{path}: {}, not {}",
            show(one.get(path)),
            show(other.get(path))
        )
    });
    told.collect()
}
