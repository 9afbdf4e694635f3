//! Files that are locked against changes: by flags of chattr(1), or by a file system that is
//! read-only.

use std::path::{Path, PathBuf};

use super::GuestRoot;
use crate::error::{Error, Result};
use crate::host::exec::quote;

/// What the kernel says where a whole file system cannot be written.
const READ_ONLY: &str = "Read-only file system";

/// A path whose flags were taken off.
struct Lifted {
    path: String,
    flags: String,
}

impl GuestRoot<'_> {
    /// Changes or removes the file at a path. Where a flag of the file or its directory forbids
    /// that (`chattr +i`, `+a`), it is taken off meanwhile; on a file system that is read-only, and
    /// not the root's, the file stays. Both is told.
    ///
    /// # Errors
    /// When the change fails otherwise.
    pub(super) fn changing(&self, path: &Path, change: impl Fn() -> Result<()>) -> Result<()> {
        let Err(error) = change() else {
            return Ok(());
        };
        if let Some(at) = self.read_only(path, &error) {
            self.note(format!("{at} is read-only: its files are left as they are"));
            return Ok(());
        }
        let lifted = self.lift(path);
        if lifted.is_empty() {
            return Err(error);
        }
        let changed = change();
        self.put_back(&lifted)?;
        changed
    }

    /// As [`GuestRoot::changing`], for removing a tree, in which anything may have flags.
    pub(super) fn removing(&self, path: &Path) -> Result<()> {
        let remove = || self.guest.rm_rf_path(path);
        let Err(error) = remove() else {
            return Ok(());
        };
        if let Some(text) = path.to_str() {
            let real = self.real(text)?;
            let quoted = quote(&format!("/sysroot{real}"));
            // What fails is told by the next attempt.
            let line = format!("chattr -R -f -i -a -- {quoted} || true");
            self.guest.debug("sh", &[&line])?;
            if self.changing(path, remove).is_ok() {
                self.note(format!("files below {text} were locked by flags (chattr)"));
                return Ok(());
            }
        }
        Err(error)
    }

    /// Writes a file.
    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let content = content.as_ref();
        self.changing(Path::new(path), || self.guest.write(path, content))
    }

    fn note(&self, note: String) {
        let mut notes = self.locked_notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// The mount point of the read-only file system that made a change fail.
    fn read_only(&self, path: &Path, error: &Error) -> Option<&str> {
        if !error.causes().iter().any(|cause| cause.contains(READ_ONLY)) {
            return None;
        }
        let points = self.os.mountpoints.iter().map(|(at, _)| at.as_str());
        let nearest = points
            .filter(|at| path.starts_with(at))
            .max_by_key(|at| at.len());
        nearest.filter(|at| *at != "/")
    }

    /// A path whose directory has no links: flags are asked for outside of the guest's own root.
    fn real(&self, path: &str) -> Result<String> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = match dir {
            "" => "/".to_owned(),
            dir => self.guest.realpath(dir)?,
        };
        let joined = PathBuf::from(dir).join(name);
        Ok(joined.to_string_lossy().into_owned())
    }

    fn lift(&self, path: &Path) -> Vec<Lifted> {
        let Some(file) = path.to_str().and_then(|path| self.real(path).ok()) else {
            return vec![];
        };
        let dir = Path::new(&file)
            .parent()
            .map(|dir| dir.to_string_lossy().into_owned());
        let mut lifted = vec![];
        for path in dir.into_iter().chain([file]) {
            // Most file systems of other makes have no flags.
            let flags = self.guest.flags(&path).unwrap_or_default();
            let flags: String = flags.chars().filter(|flag| "ia".contains(*flag)).collect();
            if !flags.is_empty() && self.guest.clear_flags(&path, &flags).is_ok() {
                lifted.push(Lifted { path, flags });
            }
        }
        lifted
    }

    fn put_back(&self, lifted: &[Lifted]) -> Result<()> {
        for Lifted { path, flags } in lifted {
            let there = self.guest.exists(path)? && !self.guest.is_symlink(path)?;
            let then = if there {
                self.guest.set_flags(path, flags)?;
                "put back"
            } else {
                "the file is gone"
            };
            self.note(format!(
                "{path} was locked by `chattr +{flags}`: taken off, {then}"
            ));
        }
        Ok(())
    }
}
