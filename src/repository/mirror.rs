//! A copy of a repository elsewhere: blobs first, indexes last, and an interrupted copy goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::fresh::{Age, refuse_gone, refuse_old};
use super::identity::Identity;
use super::manifest;
use super::replica::Replica;
use super::seen::RememberedRepository;
use super::served::{self, Names};
use super::state::{Image, Revision, State};
use super::{Repository, below, destination, files, journal, lock, records, trust};
use crate::error::{Context as _, Error, Result};
use crate::gpg::{Keyring, Signers, verify_detached};
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
pub(super) struct FileToCopy {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) sha512: Option<String>,
    /// All of it, where nothing has signed its digest.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Repository {
    /// As [`copy`].
    ///
    /// # Errors
    /// As there.
    pub fn copy(&self, to: &Path, ui: &StageUi) -> Result<Copied> {
        let (root, steps) = (self.root.as_path(), &*self.steps);
        let signers = Signers::of_keyring(self.trusted()?.clone());
        CopySource { root, steps }.copy(to, &signers, self.seen.as_ref(), ui)
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
    seen: Option<&RememberedRepository>,
    ui: &StageUi,
) -> Result<Copied> {
    let root = std::path::absolute(root).doing(|| format!("copying {}", root.display()))?;
    let steps = &|_: &str| {};
    CopySource { root: &root, steps }.copy(to, signers, seen, ui)
}

/// What is copied.
pub(super) struct CopySource<'a> {
    pub(super) root: &'a Path,
    pub(super) steps: &'a dyn Fn(&str),
}

impl CopySource<'_> {
    fn copy(
        &self,
        to: &Path,
        signers: &Signers,
        seen: Option<&RememberedRepository>,
        ui: &StageUi,
    ) -> Result<Copied> {
        let doing = || format!("copying to {}", to.display());
        let to = std::path::absolute(to).doing(doing)?;
        if to.starts_with(self.root) || self.root.starts_with(&to) {
            return Err(Error::usage(format!(
                "one of {} and {} lies in the other",
                to.display(),
                self.root.display()
            ))
            .hint("name a directory beside the repository, or on another disk"));
        }
        let ours = Identity::read(self.root)?.ok_or_else(|| records::no_repository(self.root))?;
        destination::refuse_other(&to, &ours.id)?;
        lock::make(&to)?;
        let _held = lock::hold(&to, self.steps)?;
        let replica = self.snapshot(signers)?;
        // What is copied.
        destination::refuse_other(&to, &replica.state.id)?;
        let signed = replica.state.signed();
        refuse_gone((self.root, &replica.state.id), signed, seen, Age::Current)?;
        refuse_old(self.root, replica.signed(), seen, Age::Current)?;
        let first = signers.first || !signers.is_named();
        destination::refuse_newer(self.root, &to, &replica, first)?;
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
        let changes = destination::changes(&state, &to, entry_points)?;
        journal::replace(&to, &changes, self.steps)?;
        copied.removed = destination::remove_gone(&state, &to)?;
        if let Some(seen) = seen.filter(|_| state.has_index()) {
            trust::proved(signers, seen, ui.ui());
        }
        Ok(copied)
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
                    "{} has an unfinished publication: its publisher was killed",
                    self.root.display()
                ))
            })?);
        }
    }

    /// What is signed, and what vouches for it, at one moment.
    pub(super) fn snapshot(&self, signers: &Signers) -> Result<Replica> {
        let _held = self.settled()?;
        let ours = Names::of(&State::read(self.root)?);
        let mut paths = served::entry_points(self.root)?;
        paths.retain(|path| ours.include(path));
        Replica::read(self.root, signers, &paths)
    }

    fn copy_file(
        &self,
        file: &FileToCopy,
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
            self.refuse_unsigned(file, bytes, to, keyring)?;
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
            return Err(self.damaged(file));
        }
        files::rename(to, &aside, &file.path)?;
        copied.files += 1;
        copied.bytes += found.size - found.left;
        Ok(())
    }

    /// Verifies a detached signature, of a file below `dir`.
    pub(super) fn refuse_unsigned(
        &self,
        file: &FileToCopy,
        signature: &[u8],
        dir: &Path,
        keyring: &Keyring,
    ) -> Result<()> {
        let Some(signed) = file.path.strip_suffix(".asc") else {
            return Ok(());
        };
        let right = verify_detached(&dir.join(signed), signature, keyring);
        right.map(drop).map_err(|error| {
            let path = self.root.join(&file.path);
            error.within(format!("{} is not to be trusted", path.display()))
        })
    }

    /// A file of the repository that is not what was published.
    pub(super) fn damaged(&self, file: &FileToCopy) -> Error {
        let path = self.root.join(&file.path);
        Error::gate(format!("{} is not what was published", path.display()))
            .hint("`imgforge repo verify` shows what else is damaged")
    }

    /// Whether the copy has a file, with these very bytes.
    fn is_there(&self, file: &FileToCopy, to: &Path) -> Result<bool> {
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

/// The immutable files that the records know.
pub(super) fn wanted(state: &State, root: &Path) -> Result<Vec<FileToCopy>> {
    let mut all = BTreeMap::new();
    let mut add = |path: &str, size: u64, known: Result<&str, Vec<u8>>| {
        let file = FileToCopy {
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
            let manifest = manifest::path(&image.name, *number);
            let bytes = below::read_present(root, &manifest)?;
            let path = root.join(&manifest);
            let subject: manifest::Subject = manifest::parse(&path, &bytes)?;
            if !subject.is(*number, &revision.file, &revision.sha512) {
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

/// The revisions whose files are there; one that a killed publisher only bound has none.
fn present(image: &Image) -> impl Iterator<Item = (&u64, &Revision)> {
    let published = image.published();
    published.filter(|(_, revision)| revision.removed.is_none())
}
