//! A kit, put where builds look for what it has.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::host::outlet::{Folder, Overwrite};
use crate::host::temporary::Temporary;
use crate::kit::{Content, Image, Kit, Manifest, RecipeFile};
use crate::lock::Lock;
use crate::pipeline::{Session, lock};
use crate::proxy::Cache;
use crate::recipe::config::FILE as CONFIG;

/// The largest file of a recipe repository that is held in memory, in bytes.
const LARGEST_LOCK: u64 = 64 << 20;

const ELSEWHERE: &str = "move it away, or import into another directory: -C DIR";

/// The recipe repository that a kit goes into.
#[derive(Debug)]
pub struct Target<'t> {
    /// Its root, an absolute path without links.
    pub root: &'t Path,
    /// Whether files that are others than the kit's give way.
    pub overwrite: bool,
}

/// What was imported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Files of the recipe repository that were written.
    pub written: Vec<String>,
    /// The repository has an imgforge.yaml of its own, which stays.
    pub own_config: bool,
}

impl Target<'_> {
    /// Writes the files of the recipe repository that are not there. What is there and another one stays, and
    /// then nothing is written, unless it may be replaced; an imgforge.yaml stays in any case.
    ///
    /// # Errors
    /// When something would have to be replaced, or cannot be written.
    pub fn write(&self, kit: &Kit) -> Result<Imported> {
        self.check_ways(kit)?;
        let mut imported = Imported::default();
        let (mut new, mut others) = (vec![], vec![]);
        for file in &kit.manifest.files {
            let path = self.root.join(&file.path);
            match self.is_there(file)? {
                Some(true) => {}
                Some(false) if file.path == CONFIG => imported.own_config = true,
                Some(false) => {
                    others.push(file.path.clone());
                    new.push((path, file));
                }
                None => new.push((path, file)),
            }
        }
        if !others.is_empty() && !self.overwrite {
            let root = self.root.display();
            return Err(Error::usage(format!(
                "{} files of {root} are others than the kit's",
                others.len()
            ))
            .evidence(others)
            .hint("--overwrite replaces them; -C DIR names another directory"));
        }
        for directory in &kit.manifest.directories {
            self.make(Path::new(&directory.path), Some(directory.mode))?;
        }
        for (path, file) in new {
            let parent = Path::new(&file.path).parent().unwrap_or(Path::new(""));
            self.make(parent, None)?;
            put(kit, file, &path)?;
            imported.written.push(file.path.clone());
        }
        Ok(imported)
    }

    /// Refuses what no import replaces, before anything is written: what is no directory in the place of one, and what is
    /// no file, also behind a link, in the place of a file.
    fn check_ways(&self, kit: &Kit) -> Result<()> {
        let Manifest {
            directories, files, ..
        } = &kit.manifest;
        for directory in directories {
            self.check_way(Path::new(&directory.path))?;
        }
        for file in files {
            let path = Path::new(&file.path);
            self.check_way(path.parent().unwrap_or(Path::new("")))?;
            let at = self.root.join(path);
            // A link to a directory, a pipe or a device would stop it midway, too.
            if at.metadata().is_ok_and(|found| !found.is_file()) {
                return Err(Error::usage(format!("{} is not a file", at.display()))
                    .cause("the kit has a file there")
                    .hint(ELSEWHERE));
            }
        }
        Ok(())
    }

    fn check_way(&self, path: &Path) -> Result<()> {
        let mut at = self.root.to_owned();
        for part in path.components() {
            at.push(part);
            if at.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
                return Err(no_directory(&at));
            }
        }
        Ok(())
    }

    /// Whether a file is there as the kit has it; nothing where there is none.
    fn is_there(&self, file: &RecipeFile) -> Result<Option<bool>> {
        let path = self.root.join(&file.path);
        let doing = || format!("reading {}", path.display());
        let Ok(found) = path.symlink_metadata() else {
            return Ok(None);
        };
        if !found.is_file() || found.len() != file.size {
            return Ok(Some(false));
        }
        let found = digest::file_sha256(&path).doing(doing)?;
        Ok(Some(found == file.sha256.as_str()))
    }

    /// Makes a directory below the root, and those on the way to it; a link is no directory. One that is new
    /// gets these permissions.
    fn make(&self, path: &Path, mode: Option<u32>) -> Result<()> {
        let mut at = self.root.to_owned();
        for part in path.components() {
            at.push(part);
            let doing = || format!("making {}", at.display());
            match at.symlink_metadata() {
                Ok(found) if found.is_dir() => continue,
                Ok(_) => return Err(no_directory(&at)),
                Err(_) => std::fs::create_dir(&at).doing(doing)?,
            }
            let whole = at.strip_prefix(self.root) == Ok(path);
            let mode = mode.filter(|_| whole).unwrap_or(0o755) & !0o002;
            std::fs::set_permissions(&at, Permissions::from_mode(mode)).doing(doing)?;
        }
        Ok(())
    }
}

fn no_directory(at: &Path) -> Error {
    Error::usage(format!("{} is not a directory", at.display()))
        .cause("the kit has files below it")
        .hint(ELSEWHERE)
}

fn put(kit: &Kit, file: &RecipeFile, path: &Path) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let dir = path.parent().unwrap_or(path);
    let folder = Folder::straight(dir).doing(doing)?;
    let name = path.file_name().unwrap_or_default();
    let new = folder.outlet(name, Overwrite::Anything)?.create(0o600)?;
    let mut to = new.file();
    kit.copy(&file.sha256, &mut to)?;
    to.flush().doing(doing)?;
    let mode = Permissions::from_mode(file.mode & !0o002);
    to.set_permissions(mode).doing(doing)?;
    new.appear()
}

/// The locks of a kit, with their paths in the repository.
///
/// # Errors
/// When one is broken, or the kit has what none of them names, or lacks what one names.
pub fn locks(kit: &Kit) -> Result<Vec<(Lock, &str)>> {
    let refuse = |why: String| Error::gate("the kit is refused").cause(why);
    let scratch = Temporary::new()?;
    let mut all = vec![];
    let mut named = BTreeSet::new();
    for Image { name, lock } in &kit.manifest.images {
        let mut files = kit.manifest.files.iter();
        let file = files.find(|file| file.path == *lock);
        let file = file.ok_or_else(|| refuse(format!("it has no lock of {name}")))?;
        let path = scratch.path().join("lock");
        std::fs::write(&path, kit.bytes(&file.sha256, LARGEST_LOCK)?)
            .doing(|| format!("writing {}", path.display()))?;
        let found = Lock::read(&path, name).map_err(|error| refuse(error.message().to_owned()))?;
        named.extend(found.names().into_iter().map(|one| one.digest));
        all.push((found, lock.as_str()));
    }
    let contents = kit.manifest.contents.iter();
    let has: BTreeSet<String> = contents.map(|one| one.named.clone()).collect();
    if let Some(more) = has.difference(&named).next() {
        return Err(refuse(format!("it has {more}, which no lock of it names")));
    }
    match named.difference(&has).next() {
        Some(lacks) => Err(refuse(format!(
            "it has not {lacks}, which a lock of it names"
        ))),
        None => Ok(all),
    }
}

/// What of a kit this host did not have as it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// Contents that were not here.
    pub new: usize,
    /// Contents that were here with other bytes.
    pub damaged: usize,
}

/// Adds what the locks of a kit name to what this host has, and keeps it as long as the locks are there. What is
/// here already is read, too.
///
/// # Errors
/// When something cannot be written.
pub fn import(session: &Session, kit: &Kit, locks: &[(Lock, &str)]) -> Result<Added> {
    let mut added = Added::default();
    session.store.prepare()?;
    let beside = session.store.state().join("kit");
    let scratch = session.host.ledger()?.scratch(&beside)?;
    for (lock, path) in locks {
        for named in lock.names() {
            interrupt::check()?;
            let mut contents = kit.manifest.contents.iter();
            let Some(content) = contents.find(|one| one.named == named.digest) else {
                continue;
            };
            match lock::place(session, &named)? {
                Some(here) if is_whole(&here, content) => continue,
                Some(_) => added.damaged += 1,
                None => added.new += 1,
            }
            let path = scratch.path().join("content");
            let doing = || format!("writing {}", path.display());
            let mut file = File::create(&path).doing(doing)?;
            kit.copy(&content.sha256, &mut file)?;
            lock::put(session, lock, &named, &path)?;
        }
        let cache = Cache::new(session.store.state(), session.config.store.cache_size);
        cache.keep_locked(&session.repo.root().join(path), &BTreeSet::new())?;
    }
    Ok(added)
}

fn is_whole(here: &Path, content: &Content) -> bool {
    let same_size = here
        .metadata()
        .is_ok_and(|about| about.len() == content.size);
    same_size && digest::file_sha256(here).is_ok_and(|found| found == content.sha256.as_str())
}
