//! Where a result goes that a user has named.
//!
//! The directory may be another user's, who can rename what is in it, or put a link in its place, at
//! any moment. So it is opened once, what is made in it is written by its descriptor, and gets its
//! name in that very directory: nothing there is found by its path a second time.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::fs::{accessat, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::attributes::dress;
use super::sparse;
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
        match renameat(CWD, made, &self.dir, &self.name) {
            Ok(()) => {
                self.sync();
                Ok(())
            }
            Err(Errno::XDEV) => self.bring(&file, like),
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
fn held(file: &File) -> PathBuf {
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
        let named = self.name_it();
        named.doing(self.outlet.doing())?;
        self.outlet.sync();
        Ok(())
    }

    fn name_it(&mut self) -> io::Result<()> {
        let Outlet { dir, name, .. } = &self.outlet;
        self.file.sync_all()?;
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
        if let Some(hidden) = &self.name {
            renameat(dir, hidden, dir, name)?;
        }
        Ok(())
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
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// The directory's owner puts a link in the place of what is being written.
    #[test]
    fn a_link_in_the_place_of_an_unfinished_file_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("victim"), "theirs").unwrap();
        std::fs::set_permissions(at("victim"), Permissions::from_mode(0o600)).unwrap();
        let outlet = Outlet::of(&at("out")).unwrap();
        let new = outlet.create_named(0o600).unwrap();
        let name = at(new.name.as_ref().unwrap().to_str().unwrap());
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
        let take = |outlet: &Outlet, made: &Path| outlet.take(made, None);
        for by in [Outlet::copy, take] {
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
        Outlet::of(&at("out")).unwrap().bring(&made, None).unwrap();
        let data = at("out").metadata().unwrap();
        assert_eq!(data.mode() & 0o7777, 0o750, "no rights of its owner");
        assert!(data.blocks() * 512 < 1 << 20, "{} blocks", data.blocks());
        assert!(std::fs::read(at("out")).unwrap() == std::fs::read(at("made")).unwrap());
        assert_eq!(dir.path().read_dir().unwrap().count(), 2);
    }

    /// As on a file system without owners: root may not give a file away either.
    #[test]
    fn where_owners_cannot_be_changed_the_result_stays() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["old", "made", "far"] {
            std::fs::write(at(name), "ours").unwrap();
        }
        // Who is not root may not give it away anyway.
        drop(std::os::unix::fs::chown(at("old"), Some(1), Some(1)));
        let (old, far) = (
            at("old").metadata().unwrap(),
            File::open(at("far")).unwrap(),
        );
        let done = std::thread::scope(|scope| {
            let without = || {
                let mut sets = capabilities(None).unwrap();
                sets.effective.remove(CapabilitySet::CHOWN);
                set_capabilities(None, sets).unwrap();
                let outlet = Outlet::of(&at("out")).unwrap();
                let taken = outlet.take(&at("made"), Some(&old));
                taken.and_then(|()| Outlet::of(&at("brought"))?.bring(&far, Some(&old)))
            };
            scope.spawn(without).join().unwrap()
        });
        done.unwrap();
        for name in ["out", "brought"] {
            assert_eq!(std::fs::read(at(name)).unwrap(), b"ours");
        }
    }

    #[test]
    fn a_result_in_the_place_of_another_gets_its_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("old"), "old").unwrap();
        std::fs::set_permissions(at("old"), Permissions::from_mode(0o4640)).unwrap();
        let given = std::os::unix::fs::chown(at("old"), Some(1), Some(1)).is_ok();
        let old = at("old").metadata().unwrap();
        std::fs::write(at("made"), "new").unwrap();
        let outlet = Outlet::of(&at("old")).unwrap();
        outlet.take(&at("made"), Some(&old)).unwrap();
        let new = at("old").metadata().unwrap();
        assert_eq!((new.uid() == 1, new.gid() == 1), (given, given));
        assert_eq!(new.mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_result_gets_the_group_of_a_directory_that_gives_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("made"), "ours").unwrap();
        std::fs::create_dir(at("shared")).unwrap();
        let mine = at("made").metadata().unwrap().gid();
        let other = rustix::process::getgroups().unwrap();
        let other = other.into_iter().map(|group| group.as_raw());
        let other = other.chain([1]).find(|group| *group != mine).unwrap();
        // An ordinary user without a second group gives it the only one.
        let given = std::os::unix::fs::chown(at("shared"), None, Some(other)).is_ok();
        std::fs::set_permissions(at("shared"), Permissions::from_mode(0o2775)).unwrap();
        let made = File::open(at("made")).unwrap();
        Outlet::of(&at("shared/out"))
            .unwrap()
            .bring(&made, None)
            .unwrap();
        let got = at("shared/out").metadata().unwrap().gid();
        assert_eq!(got, if given { other } else { mine });
    }

    /// Who is killed meanwhile leaves nothing.
    #[test]
    fn an_unfinished_file_has_no_name_where_the_file_system_can() {
        let dir = tempfile::tempdir().unwrap();
        let new = Outlet::of(&dir.path().join("out")).unwrap().create(0o600);
        let new = new.unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        new.file().write_all(b"ours").unwrap();
        new.appear().unwrap();
        assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"ours");
    }
}
