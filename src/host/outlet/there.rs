//! What has the name of a result already.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::{Outlet, Overwrite};
use crate::error::{Context as _, Error, Result};

impl Outlet {
    /// As [`Outlet::of`], in the place of nothing, or of a file that `is_former` takes for an earlier result of the
    /// same kind. Of any other file the error says that it `is_none`, and with `hint` what to type.
    ///
    /// # Errors
    /// As [`Outlet::of`], and when another file is there.
    pub fn renewing(
        path: &Path,
        is_none: &str,
        hint: &str,
        is_former: impl FnOnce(&File) -> bool,
    ) -> Result<Self> {
        let outlet = Self::over(path, Overwrite::Nothing)?;
        let over = match open(&outlet.dir, &outlet.name) {
            Err(Errno::NOENT) => Overwrite::Nothing,
            Ok(file) if is_former(&file) => {
                let was = file.metadata();
                Overwrite::This(was.doing(|| format!("reading {}", path.display()))?)
            }
            _ => {
                let shown = path.display();
                let message = format!("{shown} is there already, and is {is_none}");
                return Err(Error::usage(message).hint(hint));
            }
        };
        Ok(Outlet { over, ..outlet })
    }

    /// Refuses the place of a file that is read for the result.
    ///
    /// # Errors
    /// When it has that place.
    pub fn apart_from(self, read: &Metadata) -> Result<Self> {
        let there = statat(&self.dir, &self.name, AtFlags::empty());
        match there.is_ok_and(|there| (there.st_dev, there.st_ino) == (read.dev(), read.ino())) {
            true => Err(Error::usage(format!(
                "{} would be read and replaced at once",
                self.path.display()
            ))
            .hint("write to another file, and remove this one when that is done")),
            false => Ok(self),
        }
    }
}

/// The regular file of a name, which is no link.
pub(super) fn open(dir: &impl AsFd, name: &OsStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(dir, name, flags, Mode::empty())?);
    let regular = file.metadata().is_ok_and(|about| about.is_file());
    regular.then_some(file).ok_or(Errno::INVAL)
}

/// Refuses a name that a directory, a device, a pipe or a socket has, also behind a link: a rename would put a file
/// in its place.
pub(super) fn refuse_others(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
    let shown = path.display();
    let kind = match statat(dir, name, AtFlags::empty()) {
        Ok(found) => FileType::from_raw_mode(found.st_mode),
        // A link that leads nowhere gives way.
        Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(io::Error::from(errno)).doing(|| format!("writing {shown}")),
    };
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "a pipe or a socket",
    };
    Err(Error::usage(format!("{shown} is {what}"))
        .cause("the result is a file, which would take its place")
        .hint("name a file"))
}
