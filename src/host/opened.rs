//! Opens what others may put something else in the place of.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens a file, or a device, to read it. What is neither is refused by what was opened: a pipe that
/// takes its place meanwhile keeps nobody waiting.
///
/// # Errors
/// When it cannot be read, or is neither.
pub fn open(path: &Path) -> io::Result<File> {
    opened(CWD, path, OFlags::empty())
}

/// As [`open`], where no link may have taken the file's place.
///
/// # Errors
/// As [`open`].
pub fn open_itself(path: &Path) -> io::Result<File> {
    opened(CWD, path, OFlags::NOFOLLOW)
}

/// Opens the file at a path without links, which nobody may have put there meanwhile.
///
/// # Errors
/// When it cannot be read, is no file, or a link lies on the way to it.
pub fn open_straight(path: &Path) -> io::Result<File> {
    let dir = straight(path.parent().unwrap_or(path))?;
    let name = Path::new(path.file_name().unwrap_or_default());
    let file = opened(&dir, name, OFlags::NOFOLLOW)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_file()),
    }
}

/// The directory at a path without links, which nobody may have put there meanwhile.
///
/// # Errors
/// When it is not there, or a link lies on the way to it.
pub fn straight(path: &Path) -> io::Result<OwnedFd> {
    let mut dir = None;
    steps(path, |part| dir = Some(part))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(dir.ok_or_else(no_file)?, ".", flags, Mode::empty())?)
}

/// What an absolute path leads through, from the root directory on, each opened in the one before it
/// and without following a link. None can be read by what is given to `each`.
///
/// # Errors
/// When a part is not there, or what is no directory has another part.
pub(super) fn steps(path: &Path, mut each: impl FnMut(OwnedFd)) -> io::Result<()> {
    if !path.is_absolute() {
        return Err(no_file());
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(CWD, "/", flags, Mode::empty())?;
    for part in path.components().skip(1) {
        let next = openat(&at, part.as_os_str(), flags, Mode::empty())?;
        each(std::mem::replace(&mut at, next));
    }
    each(at);
    Ok(())
}

fn opened(dir: impl AsFd, path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let file = File::from(openat(dir, path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    match kind.is_file() || kind.is_block_device() {
        true => Ok(file),
        false if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(no_file()),
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(CWD, at("pipe"), mode).unwrap();
        assert!(open(&at("pipe")).is_err() && open(dir.path()).is_err());
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        assert!(open(&at("link")).is_ok() && open_itself(&at("link")).is_err());
        // Nor is a directory that became a link meanwhile.
        let real = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/etc", real.join("dir")).unwrap();
        assert!(open_straight(Path::new("/etc/passwd")).is_ok());
        for swapped in ["link", "dir/passwd", "pipe"] {
            assert!(open_straight(&real.join(swapped)).is_err(), "{swapped}");
        }
        assert!(straight(&real).is_ok() && straight(Path::new("/")).is_ok());
        for swapped in ["dir", "dir/apt", "link", "pipe", "none"] {
            assert!(straight(&real.join(swapped)).is_err(), "{swapped}");
        }
    }
}
