//! Where a result goes that a user has named.
//!
//! The directory may be another user's, who can rename what is in it, or put a link in its place, at
//! any moment. So it is opened once, what is made in it is written by its descriptor, and gets its
//! name in that very directory: nothing there is found by its path a second time.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::fs::{accessat, fsync, linkat, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::attributes::dress;
use super::{opened, sparse};
use crate::error::{Context as _, Error, Result};

mod there;

/// A directory that is open.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: Arc<OwnedFd>,
    path: PathBuf,
}

impl Folder {
    /// Opens a directory, whatever links lead to it.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::at(path, openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the directory at a path without links, which nobody may have put there meanwhile.
    ///
    /// # Errors
    /// When there is none, or a link lies on the way to it.
    pub fn straight(path: &Path) -> io::Result<Self> {
        Ok(Self::at(path, opened::straight(path)?))
    }

    fn at(path: &Path, dir: OwnedFd) -> Self {
        Folder {
            dir: Arc::new(dir),
            path: path.to_owned(),
        }
    }

    /// A name in it, for a result in the place of `over`.
    ///
    /// # Errors
    /// When nothing may be made in it, or what has the name is no file.
    pub fn outlet(&self, name: &OsStr, over: Overwrite) -> Result<Outlet> {
        self.outlet_as(self.path.join(name), name, over)
    }

    /// As [`Folder::outlet`], by the path that people know.
    fn outlet_as(&self, path: PathBuf, name: &OsStr, over: Overwrite) -> Result<Outlet> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        let may = accessat(&self.dir, ".", access, AtFlags::EACCESS).map_err(io::Error::from);
        may.doing(|| format!("writing {}", path.display()))?;
        there::refuse_others(&self.dir, name, &path)?;
        Ok(Outlet {
            dir: Arc::clone(&self.dir),
            name: name.to_owned(),
            path,
            over,
        })
    }
}

/// What a result may take the place of.
#[derive(Debug, Clone)]
pub enum Overwrite {
    /// Whatever has its name by then.
    Anything,
    /// Nothing: whatever has its name by then stays.
    Nothing,
    /// The file that this was said of, if it is the same, and as it was.
    This(Metadata),
}

/// A name in a directory that is open.
#[derive(Debug, Clone)]
pub struct Outlet {
    dir: Arc<OwnedFd>,
    name: OsString,
    path: PathBuf,
    over: Overwrite,
}

impl Outlet {
    /// Opens the directory of `path`, whatever links lead to it.
    ///
    /// # Errors
    /// When there is none, nothing may be made in it, or what has the name is no file.
    pub fn of(path: &Path) -> Result<Self> {
        Self::over(path, Overwrite::Anything)
    }

    /// As [`Outlet::of`], in the place of `over`.
    ///
    /// # Errors
    /// As [`Outlet::of`].
    pub fn over(path: &Path, over: Overwrite) -> Result<Self> {
        let doing = || format!("writing {}", path.display());
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "it names no file");
        let name = path.file_name().ok_or_else(none).doing(doing)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = Folder::open(dir.unwrap_or(Path::new("."))).doing(doing)?;
        dir.outlet_as(path.to_owned(), name, over)
    }

    /// The path that was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the directory really is, whatever has become of the path that led to it.
    pub fn real(&self) -> PathBuf {
        let dir = held(&*self.dir).read_link();
        dir.map_or_else(|_| self.path.clone(), |dir| dir.join(&self.name))
    }

    /// Removes the regular file of the name where `judge` says so; whether it did. What cannot be read is no such file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_if(&self, judge: impl FnOnce(&File) -> bool) -> Result<bool> {
        if !there::open(&self.dir, &self.name).is_ok_and(|file| judge(&file)) {
            return Ok(false);
        }
        let removed = unlinkat(&self.dir, &self.name, AtFlags::empty()).map_err(io::Error::from);
        removed.doing(|| format!("removing {}", self.path.display()))?;
        Ok(true)
    }

    /// Makes a file that gets the name by [`Unfinished::appear`]. The umask takes from `mode`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(&self, mode: u32) -> Result<Unfinished> {
        // Without a name nothing is left of it, however imgforge ends.
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let nameless = openat(&self.dir, ".", flags, Mode::from_raw_mode(mode)).map(File::from);
        match nameless.ok().filter(|file| held(file).exists()) {
            Some(file) => Ok(self.unfinished(file, None)),
            None => self.create_named(mode),
        }
    }

    /// Where a file cannot be without a name.
    fn create_named(&self, mode: u32) -> Result<Unfinished> {
        let name = hidden();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        let file = openat(&self.dir, &name, flags | OFlags::CLOEXEC, mode);
        let file = file.map_err(io::Error::from).doing(self.doing())?;
        Ok(self.unfinished(file.into(), Some(name)))
    }

    fn unfinished(&self, file: File, name: Option<OsString>) -> Unfinished {
        Unfinished {
            file,
            name,
            outlet: self.clone(),
        }
    }

    /// Writes bytes, for everybody to read.
    ///
    /// # Errors
    /// When the directory cannot be written or is full; then nothing is left.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let new = self.create(0o644)?;
        new.file().write_all(bytes).doing(self.doing())?;
        new.appear()
    }

    /// Copies a finished file, for everybody to read; holes stay holes.
    ///
    /// # Errors
    /// As [`Outlet::write`], or when `from` cannot be read.
    pub fn copy(&self, from: &Path) -> Result<()> {
        let from = File::open(from).doing(self.doing())?;
        let new = self.create(0o600)?;
        sparse::copy(&from, new.file(), &self.path)?;
        dress(new.file(), None, 0o644).doing(self.doing())?;
        new.appear()
    }

    /// Gives a finished file of a directory of our own the name, and the owner and mode of what is
    /// described by `like`; without that it keeps its mode, and gets the owner that a new file has.
    ///
    /// On another file system, which is where scratch may be that must not lie beside the result, it
    /// is copied once more, holes left out.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Outlet::write`].
    pub fn take(&self, made: &Path, like: Option<&Metadata>) -> Result<()> {
        let file = File::open(made).doing(self.doing())?;
        let mode = file.metadata().doing(self.doing())?.mode();
        let mode = like.map_or(mode, Metadata::mode);
        dress(&file, like, mode).doing(self.doing())?;
        file.sync_all().doing(self.doing())?;
        match self.rename(CWD, made) {
            Err(Errno::XDEV) => self.bring(&file, like),
            renamed => self.renamed(renamed),
        }
    }

    /// Gives what is called `from` in `dir` the name.
    fn rename(&self, dir: impl AsFd, from: &Path) -> rustix::io::Result<()> {
        match &self.over {
            Overwrite::Anything => renameat(dir, from, &self.dir, &self.name),
            Overwrite::Nothing => {
                match renameat_with(&dir, from, &self.dir, &self.name, RenameFlags::NOREPLACE) {
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        linkat(&dir, from, &self.dir, &self.name, AtFlags::empty())?;
                        unlinkat(dir, from, AtFlags::empty())
                    }
                    renamed => renamed,
                }
            }
            Overwrite::This(was) => {
                let now = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
                // Its owner can set the time of the last write back, not that of the last change.
                let time = (now.st_ctime, now.st_ctime_nsec as i64, now.st_size as u64);
                let same = (was.dev(), was.ino()) == (now.st_dev, now.st_ino)
                    && (was.ctime(), was.ctime_nsec(), was.len()) == time;
                match same {
                    true => renameat(dir, from, &self.dir, &self.name),
                    false => Err(Errno::STALE),
                }
            }
        }
    }

    /// Makes the name last, or says why there is none.
    fn renamed(&self, renamed: rustix::io::Result<()>) -> Result<()> {
        let shown = self.path.display();
        match renamed {
            Ok(()) => {
                self.sync();
                Ok(())
            }
            Err(Errno::STALE | Errno::NOENT) if matches!(self.over, Overwrite::This(_)) => {
                Err(Error::stage(format!(
                    "{shown} is not what was read, and was left as it is"
                ))
                .cause("somebody wrote to it meanwhile, or put another file there")
                .hint("find out who works on it, and do it again when nobody does"))
            }
            Err(Errno::EXIST) if matches!(self.over, Overwrite::Nothing) => Err(Error::stage(
                format!("{shown} was made by somebody else meanwhile, and was left as it is"),
            )
            .hint("do it again with another name")),
            Err(errno) => Err(io::Error::from(errno)).doing(self.doing()),
        }
    }

    fn bring(&self, made: &File, like: Option<&Metadata>) -> Result<()> {
        let new = self.create(0o600)?;
        sparse::copy(made, new.file(), &self.path)?;
        let mode = made.metadata().doing(self.doing())?.mode();
        dress(new.file(), like, mode).doing(self.doing())?;
        new.appear()
    }

    /// Makes the names in the directory last, where it can be read.
    fn sync(&self) {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(dir) = openat(&self.dir, ".", flags, Mode::empty()) {
            let _ = fsync(dir);
        }
    }

    fn doing(&self) -> impl FnOnce() -> String {
        || format!("writing {}", self.path.display())
    }
}

/// The name of a file that has not got its own.
fn hidden() -> OsString {
    format!(".imgforge-{}", uuid::Uuid::new_v4().simple()).into()
}

/// What an open file is called, whether it has a name or not.
fn held(file: &impl AsRawFd) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

/// A file that has not got its name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    /// For the time being, where it needs one.
    name: Option<OsString>,
    outlet: Outlet,
}

impl Unfinished {
    /// The file, to read and write.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file, and gives it its name in place of an earlier one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn appear(mut self) -> Result<()> {
        self.file.sync_all().doing(self.outlet.doing())?;
        let named = self.name_it();
        self.outlet.renamed(named)
    }

    fn name_it(&mut self) -> rustix::io::Result<()> {
        let dir = &self.outlet.dir;
        // A link takes nobody's place, a rename does.
        if self.name.is_none() {
            let hidden = self.name.insert(hidden());
            linkat(
                CWD,
                held(&self.file),
                dir,
                &*hidden,
                AtFlags::SYMLINK_FOLLOW,
            )?;
        }
        let hidden = self.name.as_deref().unwrap_or_default();
        self.outlet.rename(dir, Path::new(hidden))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more when it has its name.
        if let Some(name) = &self.name {
            let _ = unlinkat(&self.outlet.dir, name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests;
