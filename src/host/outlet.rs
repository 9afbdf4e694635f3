//! Where a result goes that a user has named.
//!
//! The directory may be another user's, who can rename what is in it, or put a link in its place, at
//! any moment. So it is opened once, what is made in it is written by its descriptor, and gets its
//! name in that very directory: nothing there is found by its path a second time.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::fs::{accessat, fsync, openat, renameat, seek, unlinkat};
use rustix::io::Errno;

use crate::error::{Context as _, Result};

/// A name in a directory that is open.
#[derive(Debug, Clone)]
pub struct Outlet {
    dir: Arc<OwnedFd>,
    name: OsString,
    path: PathBuf,
}

impl Outlet {
    /// Opens the directory of `path`, whatever links lead to it.
    ///
    /// # Errors
    /// When there is none, or nothing may be made in it.
    pub fn of(path: &Path) -> Result<Self> {
        let opened = || {
            let none = || io::Error::new(io::ErrorKind::InvalidInput, "it names no file");
            let name = path.file_name().ok_or_else(none)?.to_owned();
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = openat(CWD, dir.unwrap_or(Path::new(".")), flags, Mode::empty())?;
            let access = Access::WRITE_OK | Access::EXEC_OK;
            accessat(&dir, ".", access, AtFlags::EACCESS)?;
            Ok::<_, io::Error>(Outlet {
                dir: Arc::new(dir),
                name,
                path: path.to_owned(),
            })
        };
        opened().doing(|| format!("writing {}", path.display()))
    }

    /// Makes a file that gets the name by [`Unfinished::appear`]. The umask takes from `mode`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(&self, mode: u32) -> Result<Unfinished> {
        let name = format!(".imgforge-{}", uuid::Uuid::new_v4().simple()).into();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        let file = openat(&self.dir, &name, flags | OFlags::CLOEXEC, mode);
        Ok(Unfinished {
            file: file.map_err(io::Error::from).doing(self.doing())?.into(),
            name,
            outlet: self.clone(),
        })
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
        copy_sparse(&from, new.file()).doing(self.doing())?;
        let readable = Permissions::from_mode(0o644);
        new.file().set_permissions(readable).doing(self.doing())?;
        new.appear()
    }

    /// Gives a finished file of a directory of our own the name. It keeps its owner and mode.
    ///
    /// On another file system, which is where scratch may be that must not lie beside the result, it
    /// is copied once more, holes left out.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Outlet::write`].
    pub fn take(&self, made: &Path) -> Result<()> {
        let file = File::open(made).doing(self.doing())?;
        file.sync_all().doing(self.doing())?;
        match renameat(CWD, made, &self.dir, &self.name) {
            Ok(()) => {
                self.sync();
                Ok(())
            }
            Err(Errno::XDEV) => self.bring(&file),
            Err(errno) => Err(io::Error::from(errno)).doing(self.doing()),
        }
    }

    fn bring(&self, made: &File) -> Result<()> {
        let new = self.create(0o600)?;
        let brought = || -> io::Result<()> {
            copy_sparse(made, new.file())?;
            let (data, mine) = (made.metadata()?, new.file().metadata()?);
            if (data.uid(), data.gid()) != (mine.uid(), mine.gid()) {
                fchown(new.file(), Some(data.uid()), Some(data.gid()))?;
            }
            let mode = Permissions::from_mode(data.mode() & 0o777);
            new.file().set_permissions(mode)
        };
        brought().doing(self.doing())?;
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

/// A file that has not got its name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    name: OsString,
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
    pub fn appear(self) -> Result<()> {
        let Outlet { dir, name, .. } = &self.outlet;
        let synced = self.file.sync_all();
        let named = synced.and_then(|()| Ok(renameat(dir, &self.name, dir, name)?));
        named.doing(self.outlet.doing())?;
        self.outlet.sync();
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more when it has its name.
        let _ = unlinkat(&self.outlet.dir, &self.name, AtFlags::empty());
    }
}

/// Copies what is data, and leaves what is a hole.
fn copy_sparse(mut from: &File, mut to: &File) -> io::Result<()> {
    use rustix::fs::SeekFrom as At;
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut at = 0;
    while at < size {
        let Ok(start) = seek(from, At::Data(at)) else {
            // No data follows.
            break;
        };
        let end = seek(from, At::Hole(start)).unwrap_or(size);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut from.take(end - start), &mut to)?;
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The directory's owner puts a link in the place of what is being written.
    #[test]
    fn a_link_in_the_place_of_an_unfinished_file_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("victim"), "theirs").unwrap();
        std::fs::set_permissions(at("victim"), Permissions::from_mode(0o600)).unwrap();
        let new = Outlet::of(&at("out")).unwrap().create(0o600).unwrap();
        let name = at(new.name.to_str().unwrap());
        std::fs::remove_file(&name).unwrap();
        symlink(at("victim"), &name).unwrap();
        new.file().write_all(b"ours").unwrap();
        let readable = Permissions::from_mode(0o644);
        new.file().set_permissions(readable).unwrap();
        new.appear().unwrap();
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"theirs");
        assert_eq!(at("victim").metadata().unwrap().mode() & 0o777, 0o600);
        assert!(at("out").is_symlink());
    }

    /// The directory's owner puts a link in the place of the directory.
    #[test]
    fn a_result_goes_to_the_directory_that_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("named")).unwrap();
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::write(at("made"), "ours").unwrap();
        for by in [Outlet::copy, Outlet::take] {
            let outlet = Outlet::of(&at("named/passwd")).unwrap();
            std::fs::rename(at("named"), at("moved")).unwrap();
            symlink(at("etc"), at("named")).unwrap();
            by(&outlet, &at("made")).unwrap();
            assert_eq!(std::fs::read(at("moved/passwd")).unwrap(), b"ours");
            assert_eq!(at("etc").read_dir().unwrap().count(), 0);
            std::fs::remove_file(at("named")).unwrap();
            std::fs::rename(at("moved"), at("named")).unwrap();
        }
    }

    #[test]
    fn what_comes_from_another_file_system_keeps_its_mode_and_its_holes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let made = File::create_new(at("made")).unwrap();
        made.set_len(8 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&made, b"data", 5 << 20).unwrap();
        made.set_permissions(Permissions::from_mode(0o4750))
            .unwrap();
        let made = File::open(at("made")).unwrap();
        Outlet::of(&at("out")).unwrap().bring(&made).unwrap();
        let data = at("out").metadata().unwrap();
        assert_eq!(data.mode() & 0o7777, 0o750, "no rights of its owner");
        assert!(data.blocks() * 512 < 1 << 20, "{} blocks", data.blocks());
        assert!(std::fs::read(at("out")).unwrap() == std::fs::read(at("made")).unwrap());
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    }
}
