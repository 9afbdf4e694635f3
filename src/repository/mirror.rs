//! A copy of a repository elsewhere: blobs first, indexes last, and an interrupted copy goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use super::state::{Image, State};
use super::{Identity, Repository, below, files, journal, lock, records, served, verify};
use crate::error::{Context as _, Error, Result};
use crate::gpg::Signers;
use crate::ui::{StageUi, Unit};

/// What [`Repository::copy`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Blobs and files beside them that were copied.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Those that were there already.
    pub kept: usize,
    /// Directories of revisions that the repository has no more.
    pub removed: usize,
}

/// A file of a revision.
struct Wanted {
    path: String,
    size: u64,
    sha512: Option<String>,
}

impl Repository {
    /// As [`copy`].
    ///
    /// # Errors
    /// As there.
    pub fn copy(&self, to: &Path, ui: &StageUi) -> Result<Copied> {
        let (root, steps) = (self.root.as_path(), &*self.steps);
        Source { root, steps }.copy(to, &self.signers, ui)
    }
}

/// Copies the repository in `root` to a directory, which then serves the same images and can be
/// published to with the same key. Files are verified on their way, the indexes with the keys of
/// `signers`, or else with the repository's own. The repository itself is only read.
///
/// # Errors
/// When there is no repository, a file is not what the records say, or something cannot be
/// written. What the directory served before, it still serves then; the same call goes on.
pub fn copy(root: &Path, to: &Path, signers: &Signers, ui: &StageUi) -> Result<Copied> {
    let root = std::path::absolute(root).doing(|| format!("copying {}", root.display()))?;
    let steps = &|_: &str| {};
    Source { root: &root, steps }.copy(to, signers, ui)
}

/// What is copied.
struct Source<'a> {
    root: &'a Path,
    steps: &'a dyn Fn(&str),
}

impl Source<'_> {
    fn copy(&self, to: &Path, signers: &Signers, ui: &StageUi) -> Result<Copied> {
        let doing = || format!("copying to {}", to.display());
        let to = std::path::absolute(to).doing(doing)?;
        if to.starts_with(self.root) || self.root.starts_with(&to) {
            return Err(Error::usage(format!(
                "{} and {} lie in each other",
                to.display(),
                self.root.display()
            ))
            .hint("name a directory beside the repository, or on another disk"));
        }
        self.refuse_other(&to)?;
        lock::make(&to)?;
        let _held = lock::hold(&to, self.steps)?;
        let (state, entry_points) = self.snapshot(&to, signers)?;
        let mut copied = Copied::default();
        let wanted = wanted(&state, self.root)?;
        let total = wanted.iter().map(|file| file.size).sum();
        let mut done = 0;
        for file in &wanted {
            self.copy_file(file, &to, &mut copied)?;
            done += file.size;
            ui.progress(done, total, Unit::Bytes);
        }
        (self.steps)("copy the entry points");
        journal::replace(&to, &entry_points, self.steps)?;
        copied.removed = remove_gone(&state, &to)?;
        Ok(copied)
    }

    /// A copy never replaces another repository.
    fn refuse_other(&self, to: &Path) -> Result<()> {
        let id = |root: &Path| -> Result<Option<String>> {
            let identity = files::read_json::<Identity>(root, ".imgforge/repository.json")?;
            Ok(identity.map(|identity| identity.id))
        };
        match (id(to)?, id(self.root)?) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Error::usage(format!(
                "{} is another repository",
                to.display()
            ))
            .hint("name an empty directory, or an older copy of this repository")),
            (_, None) => Err(records::no_repository(self.root)),
            _ => Ok(()),
        }
    }

    /// The lock that keeps others from changing the repository, in which nothing is half done.
    fn settled(&self) -> Result<Option<File>> {
        loop {
            let held = lock::to_read(self.root)?;
            if !journal::is_left(self.root) {
                return Ok(held);
            }
            drop(held);
            let finished = lock::hold(self.root, self.steps);
            drop(finished.map_err(|error| {
                error.within(format!(
                    "{} has a publication that its publisher, killed, did not finish",
                    self.root.display()
                ))
            })?);
        }
    }

    /// The state and every file that is replaced by publications, at one moment; the indexes last.
    fn snapshot(&self, to: &Path, signers: &Signers) -> Result<(State, Vec<journal::Replacement>)> {
        let held = self.settled()?;
        let state = State::read(self.root)?;
        let mut signed = verify::indexes(&state, signers)?;
        signed.extend(verify::lists(&state, signers)?);
        for text in signed {
            text.result.map_err(|error| {
                let path = self.root.join(&text.path);
                error
                    .within(format!("{} is not to be trusted", path.display()))
                    .hint("`imgforge repo verify` shows what else is wrong; nothing was copied")
            })?;
        }
        let mut paths = BTreeSet::new();
        walk(self.root, Path::new(""), &mut paths)?;
        let mut there = BTreeSet::new();
        walk(to, Path::new(""), &mut there)?;
        for all in [&mut paths, &mut there] {
            all.retain(|path| served::is_ours(&state, path));
        }
        let gone = there.difference(&paths);
        let mut all: Vec<journal::Replacement> = gone.map(|path| (path.clone(), None)).collect();
        for path in paths {
            let bytes = below::read(self.root, &path)?;
            if bytes.is_some() && below::read(to, &path).ok().flatten() != bytes {
                all.push((path, bytes));
            }
        }
        drop(held);
        all.sort_by_key(|(path, _)| (rank(path), path.clone()));
        Ok((state, all))
    }

    fn copy_file(&self, file: &Wanted, to: &Path, copied: &mut Copied) -> Result<()> {
        if self.is_there(file, to)? {
            copied.kept += 1;
            return Ok(());
        }
        (self.steps)("copy a file");
        let (dir, _) = file.path.rsplit_once('/').unwrap_or_default();
        below::create_dir(to, dir)?;
        let from = self.root.join(&file.path);
        let open = || {
            let opened = below::open(self.root, Path::new(&file.path));
            opened.map_err(|cause| below::explained(self.root, &file.path, "reading", cause))
        };
        let aside = format!("{}.part", file.path);
        let right = |found: &String| file.sha512.as_ref().is_none_or(|all| all == found);
        let mut found = files::copy_on((&from, open()?), to, &aside)?;
        if found.left > 0 && !right(&found.sha512) {
            // What an interrupted copy had left is to blame, perhaps.
            drop(below::remove(to, Path::new(&aside)));
            found = files::copy_on((&from, open()?), to, &aside)?;
        }
        if !right(&found.sha512) {
            drop(below::remove(to, Path::new(&aside)));
            return Err(
                Error::gate(format!("{} is not what was published", from.display()))
                    .hint("`imgforge repo verify` shows what else is damaged"),
            );
        }
        files::rename(to, &aside, &file.path)?;
        copied.files += 1;
        copied.bytes += found.size - found.left;
        Ok(())
    }

    /// Whether the copy has a file, with these very bytes.
    fn is_there(&self, file: &Wanted, to: &Path) -> Result<bool> {
        let there = below::open(to, Path::new(&file.path));
        let same_size = |there: &File| there.metadata().is_ok_and(|meta| meta.len() == file.size);
        let Some(there) = there.ok().filter(same_size) else {
            return Ok(false);
        };
        match &file.sha512 {
            Some(sha512) => {
                let path = to.join(&file.path);
                Ok(files::sha512(&path, there)? == *sha512)
            }
            // Nothing but the repository itself tells what it is; it is small.
            None => Ok(below::read(to, &file.path)? == below::read(self.root, &file.path)?),
        }
    }
}

/// The default channel's index comes after everything else that readers see; then the records.
fn rank(path: &str) -> u8 {
    match path {
        "index.asc" => 2,
        path if path.starts_with(".imgforge/") => 3,
        path if path.ends_with("/index.asc") => 1,
        _ => 0,
    }
}

/// The immutable files that the records know.
fn wanted(state: &State, root: &Path) -> Result<Vec<Wanted>> {
    let mut all = BTreeMap::new();
    let mut add = |path: String, size: u64, sha512: Option<String>| {
        let file = Wanted {
            path: path.clone(),
            size,
            sha512,
        };
        all.insert(path, file);
    };
    for image in state.images.values() {
        for (number, revision) in present(image) {
            add(
                revision.file.clone(),
                revision.size,
                Some(revision.sha512.clone()),
            );
            let mut unknown = vec![format!("images/{}/{number}/manifest.json", image.name)];
            for file in revision.companions.values() {
                add(file.path.clone(), file.size, Some(file.sha512.clone()));
                if file.signed {
                    unknown.push(format!("{}.asc", file.path));
                }
            }
            for path in unknown {
                let file = below::open(root, Path::new(&path));
                let size = file.and_then(|file| file.metadata());
                let size = size.map_err(|cause| below::explained(root, &path, "reading", cause));
                add(path, size?.len(), None);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The revisions whose files are there; one that a killed publisher only bound has none.
fn present(image: &Image) -> impl Iterator<Item = (&u64, &super::state::Revision)> {
    let published = image.published();
    published.filter(|(_, revision)| revision.removed.is_none())
}

/// The files below a root but those of revisions, the lock and what is unfinished.
fn walk(root: &Path, below: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    let dir = root.join(below);
    let doing = || format!("reading {}", dir.display());
    let entries = match std::fs::read_dir(&dir) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.doing(doing)?,
    };
    for entry in entries {
        let entry = entry.doing(doing)?;
        let path = below.join(entry.file_name());
        let Some(text) = path.to_str().map(str::to_owned) else {
            continue;
        };
        if entry.file_type().doing(doing)?.is_dir() {
            if !is_private(&text) && !is_revision(&path) {
                walk(root, &path, found)?;
            }
        } else if !is_private(&text) && !text.ends_with(".new") {
            found.insert(text);
        }
    }
    Ok(())
}

fn is_private(path: &str) -> bool {
    let of_this_host = [
        ".imgforge/incoming",
        ".imgforge/transaction",
        ".imgforge/lock",
        ".imgforge/journal.json",
    ];
    of_this_host.contains(&path)
}

/// `images/NAME/REVISION`.
fn is_revision(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.len() == 3 && parts[0] == "images" && parts[2].parse::<u64>().is_ok()
}

/// Removes what the records say is gone.
fn remove_gone(state: &State, to: &Path) -> Result<usize> {
    let mut count = 0;
    for image in state.images.values() {
        let used = image.directories();
        for (number, _) in image.revisions.iter().filter(|(_, r)| r.removed.is_some()) {
            let dir = format!("images/{}/{number}", image.name);
            if !used.contains(dir.as_str()) {
                count += usize::from(below::remove_dir(to, &dir)?);
            }
        }
    }
    Ok(count)
}
