//! Whose a file is: what the databases of dpkg, RPM and apk say, with diversions, configuration files,
//! alternatives, and what is made of a package's files.

mod apk;
mod dpkg;
mod rpm;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::index::{Claim, File, How, Index};
use super::places::Places;
use crate::sbom::Package;

/// How much of databases is read, all together, in bytes: of dpkg's a desktop has 40 MB, of RPM's 200. Guests write
/// them, and a hole takes memory, too.
pub(super) const LARGEST: u64 = 256 << 20;

/// What the lists of packages may take, in bytes: those of a desktop take 100 MB. A name of a directory counts for each of
/// its files, and so a small database can have terabytes of paths.
const MOST: usize = 512 << 20;

/// What an entry of a list takes besides.
const EACH: usize = 64;

/// Whether a package manager keeps what it knows in this file.
pub(super) fn is_database(path: &str) -> bool {
    dpkg::is_database(path) || apk::is_database(path) || rpm::is_database(path)
}

/// What package managers know.
#[derive(Debug, Default)]
struct Known {
    packages: Vec<Package>,
    /// The packages that have a path, as they write it.
    lists: Vec<(String, usize)>,
    /// Their configuration files.
    conffiles: HashSet<String>,
    /// Other names of files: where a package has it, where it is, and who wants it so.
    diversions: Vec<(String, String, String)>,
    /// Files that note something of one package.
    records: Vec<(String, usize)>,
    /// Databases that cannot be read, a sentence each.
    unread: Vec<String>,
    /// What the lists have taken.
    taken: usize,
}

impl Known {
    /// Notes that a package has a path.
    fn list(&mut self, path: String, package: usize) {
        self.taken = self.taken.saturating_add(path.len() + EACH);
        if !self.is_full() {
            self.lists.push((path, package));
        }
    }

    /// Whether the lists are larger than any system's: not all of them is there.
    fn is_full(&self) -> bool {
        self.taken > MOST
    }
}

/// Notes in the index whose its files are, of the databases by their paths.
pub(super) fn claim(index: &mut Index, databases: &BTreeMap<String, Vec<u8>>) {
    let mut known = Known::default();
    dpkg::learn(databases, &mut known);
    apk::learn(databases, &mut known);
    rpm::learn(databases, &mut known);
    let places = Places::new(&index.files);
    let mut claims: HashMap<String, Claim> = HashMap::new();
    listed(&known, &places, &mut claims);
    for (path, package) in &known.records {
        claims.entry(path.clone()).or_insert(Claim {
            package: *package,
            how: How::Record,
        });
    }
    let made = made_of(&index.files, &places, &claims);
    let gave_up = places.gave_up() || known.is_full();
    claims.extend(made);
    if gave_up {
        index.unread.push(
            "whose its files are: its lists of packages and links are larger than any".into(),
        );
    }
    for file in &mut index.files {
        file.claim = claims.get(&file.path).copied();
    }
    index.packages = known.packages;
    index.unread.append(&mut known.unread);
}

/// What packages have, each at the place where it is.
fn listed(known: &Known, places: &Places<'_>, claims: &mut HashMap<String, Claim>) {
    let diverted = known.diversions.iter();
    let diverted: HashMap<String, (String, &str)> = diverted
        .map(|(from, to, by)| (places.real(from), (places.real(to), by.as_str())))
        .collect();
    let mut shared = HashSet::new();
    for (path, package) in &known.lists {
        let owner = &known.packages[*package].name;
        let real = places.real(path);
        let moved = diverted.get(&real).filter(|(_, by)| by != owner);
        let (at, how) = match moved {
            Some((to, _)) => (to.clone(), How::Diverted),
            None if known.conffiles.contains(path) => (real, How::Conffile),
            None => (real, How::Listed),
        };
        // A directory that several have is nobody's; of a file, the first one's.
        if let Some(before) = claims.get(&at) {
            if places.leads_to_dir(&at) && before.package != *package {
                shared.insert(at);
            }
            continue;
        }
        let package = *package;
        claims.insert(at, Claim { package, how });
    }
    claims.retain(|path, _| !shared.contains(path));
}

/// What is made of packages' files after they were unpacked.
fn made_of(
    files: &[File],
    places: &Places<'_>,
    claims: &HashMap<String, Claim>,
) -> Vec<(String, Claim)> {
    let mut made = vec![];
    for file in files.iter().filter(|file| !claims.contains_key(&file.path)) {
        let (of, how) = if let Some(source) = python_source(&file.path) {
            (source, How::Compiled)
        } else if file.is_link() && is_alternative(file) {
            (places.target(file), How::Alternative)
        } else {
            continue;
        };
        if let Some(claim) = claims.get(&places.real(&of)) {
            let package = claim.package;
            made.push((file.path.clone(), Claim { package, how }));
        }
    }
    made
}

/// `/lib/__pycache__/name.cpython-311.pyc` is made of `/lib/name.py`.
fn python_source(path: &str) -> Option<String> {
    let (dir, name) = path.rsplit_once('/')?;
    let dir = dir.strip_suffix("/__pycache__")?;
    let name = name.strip_suffix(".pyc")?;
    let name = name.strip_suffix(".opt-1").unwrap_or(name);
    let name = name.strip_suffix(".opt-2").unwrap_or(name);
    let (name, _) = name.rsplit_once('.')?;
    Some(format!("{dir}/{name}.py"))
}

fn is_alternative(link: &File) -> bool {
    let dir = "/etc/alternatives/";
    link.path.starts_with(dir) || link.content.starts_with(dir)
}

#[cfg(test)]
mod tests;
