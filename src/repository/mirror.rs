//! A copy of a repository elsewhere: blobs first, indexes last, and an interrupted copy goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use serde_json::Value;

use super::fresh::{Age, refuse_old};
use super::replica::{Files, Replica};
use super::seen::{Seen, is_to_come};
use super::state::{Image, Revision, State};
use super::{Identity, Repository, below, files, journal, lock, records, served};
use crate::error::{Context as _, Error, Result};
use crate::gpg::{Keyring, Signers, Verified, verify_all, verify_detached};
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
    /// All of it, where nothing has signed its digest.
    bytes: Option<Vec<u8>>,
}

impl Repository {
    /// As [`copy`].
    ///
    /// # Errors
    /// As there.
    pub fn copy(&self, to: &Path, ui: &StageUi) -> Result<Copied> {
        let (root, steps) = (self.root.as_path(), &*self.steps);
        let signers = Signers::of_keyring(self.trusted()?.clone());
        Source { root, steps }.copy(to, &signers, self.seen.as_ref(), ui)
    }
}

/// Copies the repository in `root` to a directory, which then serves the same images and can be
/// published to with the same key. Files are verified on their way, the indexes with the keys of
/// `signers`, or else with the repository's own, and are no older than what this host has `seen`, or
/// the copy has. The repository itself is only read.
///
/// # Errors
/// When there is no repository, a file is not what the records say, or something cannot be
/// written. What the directory served before, it still serves then; the same call goes on.
pub fn copy(
    root: &Path,
    to: &Path,
    signers: &Signers,
    seen: Option<&Seen>,
    ui: &StageUi,
) -> Result<Copied> {
    let root = std::path::absolute(root).doing(|| format!("copying {}", root.display()))?;
    let steps = &|_: &str| {};
    Source { root: &root, steps }.copy(to, signers, seen, ui)
}

/// What is copied.
struct Source<'a> {
    root: &'a Path,
    steps: &'a dyn Fn(&str),
}

impl Source<'_> {
    fn copy(
        &self,
        to: &Path,
        signers: &Signers,
        seen: Option<&Seen>,
        ui: &StageUi,
    ) -> Result<Copied> {
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
        let replica = self.snapshot(signers)?;
        refuse_old(self.root, replica.state.signed(), seen, Age::Current)?;
        self.refuse_newer(&to, &replica)?;
        let mut copied = Copied::default();
        let wanted = wanted(&replica.state, self.root)?;
        let total = wanted.iter().map(|file| file.size).sum();
        let mut done = 0;
        for file in &wanted {
            self.copy_file(file, &to, &replica.keyring, &mut copied)?;
            done += file.size;
            ui.progress(done, total, Unit::Bytes);
        }
        (self.steps)("copy the entry points");
        let (state, entry_points) = replica.entry_points(&to)?;
        journal::replace(&to, &changes(&state, &to, entry_points)?, self.steps)?;
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

    /// What is signed, and what vouches for it, at one moment.
    fn snapshot(&self, signers: &Signers) -> Result<Replica> {
        let _held = self.settled()?;
        let state = State::read(self.root)?;
        let mut paths = BTreeSet::new();
        walk(self.root, Path::new(""), &mut paths)?;
        paths.retain(|path| served::is_ours(&state, path));
        Replica::read(self.root, signers, &paths)
    }

    /// An older state never replaces a newer one.
    fn refuse_newer(&self, to: &Path, replica: &Replica) -> Result<()> {
        let mut there = Vec::new();
        for signed in replica.state.signed() {
            if let (Ok(told), Ok(Some(bytes))) = (&signed.result, below::read(to, &signed.path)) {
                there.push((&signed.path, told.when, bytes));
            }
        }
        let texts: Vec<&[u8]> = there.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
        for ((path, when, _), theirs) in there.iter().zip(verify_all(&texts, &replica.keyring)?) {
            // What is damaged, signed by an older key or at no time that can be, is replaced.
            let newer = |theirs: &Verified| theirs.when > *when && !is_to_come(theirs.when);
            if let Some(newer) = theirs.ok().filter(newer) {
                return Err(Error::gate(format!(
                    "{} is older than its copy: signed at {when:.0}, and {} at {:.0}",
                    self.root.join(path).display(),
                    to.join(path).display(),
                    newer.when
                ))
                .cause("somebody put an old state back, or restored a backup")
                .hint(
                    "copy the newer one back, if nothing was published since; to go on from the \
                     older one, `imgforge channel renew --allow-older` there, or another directory",
                ));
            }
        }
        Ok(())
    }

    fn copy_file(
        &self,
        file: &Wanted,
        to: &Path,
        keyring: &Keyring,
        copied: &mut Copied,
    ) -> Result<()> {
        if self.is_there(file, to)? {
            copied.kept += 1;
            return Ok(());
        }
        (self.steps)("copy a file");
        let (dir, _) = file.path.rsplit_once('/').unwrap_or_default();
        below::create_dir(to, dir)?;
        if let Some(bytes) = &file.bytes {
            if let Some(signed) = file.path.strip_suffix(".asc") {
                let right = verify_detached(&to.join(signed), bytes, keyring);
                right.map_err(|error| {
                    let path = self.root.join(&file.path);
                    error.within(format!("{} is not to be trusted", path.display()))
                })?;
            }
            files::write(to, &file.path, bytes)?;
            copied.files += 1;
            copied.bytes += file.size;
            return Ok(());
        }
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
        match (&file.sha512, &file.bytes) {
            (Some(sha512), _) => {
                let path = to.join(&file.path);
                Ok(files::sha512(&path, there)? == *sha512)
            }
            (None, bytes) => Ok(below::read(to, &file.path)? == *bytes),
        }
    }
}

/// What is to change in the copy; the indexes last.
fn changes(state: &State, to: &Path, files: Files) -> Result<Vec<journal::Replacement>> {
    let mut there = BTreeSet::new();
    walk(to, Path::new(""), &mut there)?;
    there.retain(|path| served::is_ours(state, path) && !files.contains_key(path));
    let mut all: Vec<journal::Replacement> = there.into_iter().map(|path| (path, None)).collect();
    for (path, bytes) in files {
        if below::read(to, &path).ok().flatten().as_ref() != Some(&bytes) {
            all.push((path, Some(bytes)));
        }
    }
    all.sort_by_key(|(path, _)| (rank(path), path.clone()));
    Ok(all)
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
    let mut add = |path: &str, size: u64, known: Result<&str, Vec<u8>>| {
        let file = Wanted {
            path: path.to_owned(),
            size,
            sha512: known.as_ref().ok().map(|sha512| (*sha512).to_owned()),
            bytes: known.err(),
        };
        all.insert(path.to_owned(), file);
    };
    for image in state.images.values() {
        for (number, revision) in present(image) {
            add(&revision.file, revision.size, Ok(&revision.sha512));
            let manifest = format!("images/{}/{number}/manifest.json", image.name);
            let bytes = below::read_present(root, &manifest)?;
            if !is_about(&bytes, *number, revision) {
                let path = root.join(&manifest);
                return Err(Error::gate(format!(
                    "{} is about other bytes than the signed list",
                    path.display()
                ))
                .hint("`imgforge repo verify` shows what else is damaged"));
            }
            add(&manifest, bytes.len() as u64, Err(bytes));
            for file in revision.companions.values() {
                add(&file.path, file.size, Ok(&file.sha512));
                if file.signed {
                    let path = format!("{}.asc", file.path);
                    let bytes = below::read_present(root, &path)?;
                    add(&path, bytes.len() as u64, Err(bytes));
                }
            }
        }
    }
    Ok(all.into_values().collect())
}

/// Whether a manifest is that of a revision.
fn is_about(manifest: &[u8], number: u64, revision: &Revision) -> bool {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    manifest["sha512"] == *revision.sha512
        && manifest["file"] == *revision.file
        && manifest["revision"] == number
}

/// The revisions whose files are there; one that a killed publisher only bound has none.
fn present(image: &Image) -> impl Iterator<Item = (&u64, &Revision)> {
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
        // Of what was only bound nobody has signed that it is gone.
        for (number, _) in image.published().filter(|(_, r)| r.removed.is_some()) {
            let dir = format!("images/{}/{number}", image.name);
            if !used.contains(dir.as_str()) {
                count += usize::from(below::remove_dir(to, &dir)?);
            }
        }
    }
    Ok(count)
}
