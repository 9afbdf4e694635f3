//! The files that a stage reads: a private copy of what its key was made of.
//!
//! Hours pass between the plan and the last step, and meanwhile a checkout belongs to whoever edits
//! it. So a stage reads nothing there: each file of its inputs is copied into the stage's scratch while it
//! is hashed, laid out as in the recipe repository, and what is not what was planned is refused.
//!
//! A file of [`LARGE`] bytes and more, a medium or a disk, that only this user and root can write
//! gets a hard link instead where it can: of the file that was opened and hashed, whatever has its
//! name later. What this user writes to it meanwhile shows in its times, which are asked in the end.
//! Another stage's link sets one of them, too: then its content is hashed again.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use sha2::{Digest as _, Sha256};

use super::digests::Stamp;
use super::inputs::Walked;
use crate::error::{Context as _, Error, Result};
use crate::host::temporary::is_ours;
use crate::host::{interrupt, sparse};
use crate::mutex::Unpoisoned as _;

/// From this size on a file is linked, not copied, in bytes.
const LARGE: u64 = 64 << 20;

/// Their content is for a guest's package manager, which has no way to a directory of this host.
const PACKAGES: [&str; 4] = [".rpm", ".drpm", ".deb", ".udeb"];

/// How a walk tells of a directory.
const DIRECTORY: &str = "directory ";

/// The files of one stage; they are gone when this is dropped.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    repository: PathBuf,
    links: bool,
    linked: Mutex<Vec<Linked>>,
}

/// A large file that is used where it is.
#[derive(Debug)]
struct Linked {
    shown: String,
    file: File,
    /// Size and time of modification.
    written: (u64, SystemTime),
    stamp: Stamp,
    again: Hasher,
    digest: String,
}

/// How a file is hashed while it is taken.
#[derive(Debug)]
enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Blake3(hasher) => drop(hasher.update(bytes)),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn anew(&self) -> Self {
        match self {
            Hasher::Blake3(_) => Hasher::Blake3(Box::default()),
            Hasher::Sha256(_) => Hasher::Sha256(Sha256::new()),
        }
    }

    fn finish(self) -> String {
        match self {
            Hasher::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Hasher::Sha256(hasher) => hex::encode(hasher.finalize()),
        }
    }
}

impl Files {
    /// Takes what was `read` for a plan, of the recipe repository at `repository`, into the new
    /// directory `dir`. `links` says that nobody gives a file another owner while the stage works.
    ///
    /// # Errors
    /// When a file is not what it was when the build was planned, or cannot be copied.
    pub fn take(read: &[Walked], repository: &Path, dir: PathBuf, links: bool) -> Result<Files> {
        let files = Files {
            dir,
            repository: repository.to_owned(),
            links,
            linked: Mutex::default(),
        };
        std::fs::create_dir_all(files.root()).doing(|| writing(&files.dir))?;
        // What lies in a tree of another input may be a link there: the tree decides.
        let mut all: Vec<&Walked> = read.iter().collect();
        all.sort_by_key(|walked| walked.path.components().count());
        for walked in all {
            files.tree(walked)?;
        }
        Ok(files)
    }

    /// The recipe repository, as far as the stage reads it.
    pub fn root(&self) -> PathBuf {
        self.dir.join("recipes")
    }

    /// The copy of a file or directory at this path, if it is an input.
    pub fn copy(&self, path: &Path) -> Option<PathBuf> {
        let copy = self.place(path);
        copy.exists().then_some(copy)
    }

    /// Takes a file by its SHA-256, in hex: its copy, and the digest that was found.
    ///
    /// # Errors
    /// When it cannot be read or copied. What the digest is, is for the caller to judge.
    pub fn by_sha256(&self, path: &Path) -> Result<(PathBuf, String)> {
        let dir = self.dir.join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir(&dir).doing(|| writing(&dir))?;
        let to = dir.join(path.file_name().unwrap_or_default());
        let hasher = Hasher::Sha256(Sha256::new());
        let (found, _) = self.file(path, &to, hasher, &path.display().to_string())?;
        Ok((to, found))
    }

    /// Asks, when the stage has done its work, whether what it used where it was stayed as it was.
    ///
    /// # Errors
    /// When it did not.
    pub fn unchanged(&self) -> Result<()> {
        let linked = self.linked.lock().unpoisoned();
        for one in linked.iter() {
            let reading = || format!("reading {}", one.shown);
            let meta = one.file.metadata().doing(reading)?;
            if Stamp::of(&meta) == one.stamp {
                continue;
            }
            let same = (meta.len(), meta.modified().doing(reading)?) == one.written && {
                (&one.file).rewind().doing(reading)?;
                let mut hasher = one.again.anew();
                each_block(&one.file, &one.shown, |_, bytes| {
                    hasher.update(bytes);
                    Ok(())
                })?;
                hasher.finish() == one.digest
            };
            if !same {
                return Err(changed(
                    &one.shown,
                    "it was written to while the stage used it",
                ));
            }
        }
        Ok(())
    }

    /// Where the copy of a path is, or would be.
    fn place(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.repository) {
            Ok(named) => self.root().join(named),
            Err(_) => {
                let below = path.strip_prefix("/").unwrap_or(path);
                self.dir.join("host").join(below)
            }
        }
    }

    fn shown(&self, path: &Path) -> String {
        let named = path.strip_prefix(&self.repository).unwrap_or(path);
        named.display().to_string()
    }

    fn tree(&self, walked: &Walked) -> Result<()> {
        let top = self.place(&walked.path);
        let parent = top.parent().unwrap_or(&top);
        // A link of another input's tree may lead to the checkout, or anywhere.
        let there = parent.ancestors().find_map(|dir| dir.canonicalize().ok());
        let own = self.dir.canonicalize().doing(|| writing(&self.dir))?;
        if !there.is_some_and(|there| there.starts_with(own)) {
            let shown = self.shown(&walked.path);
            return Err(
                Error::usage(format!("the way to {shown} leads through a link"))
                    .cause("the link is an absolute path, in a directory that another step takes")
                    .hint("name the file itself, or make the link a relative one"),
            );
        }
        std::fs::create_dir_all(parent).doing(|| writing(parent))?;
        let is_dir = |planned: &str| planned.starts_with(DIRECTORY);
        let (dirs, others): (Vec<_>, Vec<_>) = walked
            .found
            .iter()
            .partition(|(_, planned)| is_dir(planned));
        for (below, planned) in dirs.into_iter().chain(others) {
            let below = below.trim_end_matches('/');
            let is_package = PACKAGES.iter().any(|end| below.ends_with(end));
            if walked.installer && is_package {
                continue;
            }
            let (mut from, mut to) = (walked.path.clone(), top.clone());
            if !below.is_empty() {
                (from, to) = (from.join(below), to.join(below));
            }
            self.one(&from, &to, planned)?;
        }
        Ok(())
    }

    /// Takes what was planned of `from`, as [`super::digests::Digests::walk`] tells it.
    fn one(&self, from: &Path, to: &Path, planned: &str) -> Result<()> {
        let shown = self.shown(from);
        let refuse = |cause: io::Error| failed(&shown, cause);
        if planned.starts_with(DIRECTORY) {
            return std::fs::create_dir_all(to).doing(|| writing(to));
        }
        if planned.starts_with("link ") {
            let target = std::fs::read_link(from).map_err(refuse)?;
            if format!("link {}", target.display()) != planned {
                return Err(changed(&shown, "the link leads elsewhere"));
            }
            return match symlink(&target, to) {
                // Two inputs may mean one tree.
                Err(_) if std::fs::read_link(to).is_ok_and(|there| there == target) => Ok(()),
                made => made.doing(|| writing(to)),
            };
        }
        let hasher = Hasher::Blake3(Box::default());
        let (digest, meta) = self.file(from, to, hasher, &shown)?;
        let mode = meta.permissions().mode() & 0o7777;
        match format!("file {mode:o} {digest}") == planned {
            true => Ok(()),
            false => Err(changed(
                &shown,
                "its content or its permissions are different",
            )),
        }
    }

    /// Copies or links a file, whatever its name leads to; what was read has this digest.
    fn file(
        &self,
        from: &Path,
        to: &Path,
        mut hasher: Hasher,
        shown: &str,
    ) -> Result<(String, Metadata)> {
        let refuse = |cause: io::Error| failed(shown, cause);
        // Two inputs may mean one file: what was taken is compared again.
        let is_new = to.symlink_metadata().is_err();
        let file = open(if is_new { from } else { to }).map_err(refuse)?;
        let now = || open(from).and_then(|file| file.metadata());
        let mut meta = now().map_err(refuse)?;
        let (mut copy, mut linked) = (None, None);
        if is_new {
            meta = file.metadata().map_err(refuse)?;
            if self.links && meta.len() >= LARGE && is_owned(&file) && link(&file, to).is_ok() {
                meta = file.metadata().map_err(refuse)?;
                linked = Some((Stamp::of(&meta), hasher.anew()));
            } else {
                copy = Some(File::create_new(to).map_err(refuse)?);
            }
        }
        let size = each_block(&file, shown, |at, bytes| {
            hasher.update(bytes);
            let copy = copy.as_ref();
            copy.map_or(Ok(0), |copy| sparse::write(copy, to, at, bytes))
                .map(drop)
        })?;
        if let Some(copy) = copy {
            copy.set_len(size).map_err(refuse)?;
            let mode = meta.permissions().mode() & 0o777 | 0o600;
            let mode = Permissions::from_mode(mode);
            copy.set_permissions(mode).map_err(refuse)?;
        }
        let digest = hasher.finish();
        if let Some((stamp, again)) = linked {
            let one = Linked {
                shown: shown.to_owned(),
                written: (meta.len(), meta.modified().map_err(refuse)?),
                file,
                stamp,
                again,
                digest: digest.clone(),
            };
            let mut linked = self.linked.lock().unpoisoned();
            linked.push(one);
        }
        Ok((digest, meta))
    }
}

/// Reads a file from where it is at on; how many bytes there were.
fn each_block(
    mut file: &File,
    shown: &str,
    mut take: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<u64> {
    let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        interrupt::check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(at),
            Ok(read) => {
                take(at, &buffer[..read])?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(shown, error)),
        }
    }
}

/// Whether nobody else can write an open file: one that has it mapped changes it and no time of it.
fn is_owned(file: &File) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    path.is_ok_and(|path| is_ours(&path))
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed goes with the draft that it lies in.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// A pipe must not keep us waiting.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        )),
    }
}

/// A hard link of an open file.
fn link(file: &File, to: &Path) -> io::Result<()> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, open, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
}

fn writing(path: &Path) -> String {
    format!("writing {}", path.display())
}

fn failed(shown: &str, cause: io::Error) -> Error {
    if let Err(interrupted) = interrupt::check() {
        return interrupted;
    }
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => {
            changed(shown, cause)
        }
        _ => Error::stage(format!("{shown} cannot be taken for the stage")).cause(cause),
    }
}

fn changed(shown: &str, how: impl std::fmt::Display) -> Error {
    Error::stage(format!("{shown} changed since the build was planned"))
        .cause(how)
        .hint("build again: the next plan is made of the files as they are then")
}

#[cfg(test)]
mod tests;
