//! The one door to what lies below a repository's directory. Others may write there, too: no link
//! is followed, so that no path of a record leads out of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::{Context as _, Error, Result};

/// What the umask takes from, of a new file.
const FILE: Mode = Mode::from_raw_mode(0o666);

/// Opens the directory `path` below `root`, making what is missing if `make`.
fn dir(root: &Path, path: &Path, make: bool) -> std::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut dir = openat(CWD, root, flags, Mode::empty())?;
    for part in path.components() {
        let Component::Normal(name) = part else {
            return Err(IoError::new(ErrorKind::InvalidInput, "it leads out of it"));
        };
        dir = match openat(&dir, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                match mkdirat(&dir, name, Mode::from_raw_mode(0o777)) {
                    Err(Errno::EXIST) | Ok(()) => {}
                    Err(errno) => return Err(errno.into()),
                }
                rustix::fs::fsync(&dir)?;
                openat(&dir, name, flags | OFlags::NOFOLLOW, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(dir)
}

/// The directory that a path lies in, and its name there.
fn parent(root: &Path, path: &Path) -> std::io::Result<(OwnedFd, OsString)> {
    let none = || IoError::new(ErrorKind::InvalidInput, "it names no file");
    let name = path.file_name().ok_or_else(none)?.to_owned();
    let dir = dir(root, path.parent().unwrap_or(Path::new("")), false)?;
    Ok((dir, name))
}

/// Opens a file to read it.
pub(super) fn open(root: &Path, path: &Path) -> std::io::Result<File> {
    let (dir, name) = parent(root, path)?;
    // A pipe must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(openat(&dir, name, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(IoError::new(ErrorKind::InvalidInput, "it is not a file")),
    }
}

/// The most that a file may have that is read at once, in bytes.
const MOST: u64 = 256 << 20;

/// Reads a file; none where there is none.
pub(super) fn read(root: &Path, path: &str) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = open(root, Path::new(path)).and_then(|file| {
        match file.take(MOST + 1).read_to_end(&mut bytes)? as u64 {
            ..=MOST => Ok(()),
            _ => Err(IoError::new(
                ErrorKind::InvalidData,
                "it has more than 256 MiB",
            )),
        }
    });
    match read {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        read => {
            read.map_err(|cause| explained(root, path, "reading", cause))?;
            Ok(Some(bytes))
        }
    }
}

/// Reads a file that must be there.
pub(super) fn read_present(root: &Path, path: &str) -> Result<Vec<u8>> {
    let none = || explained(root, path, "reading", ErrorKind::NotFound.into());
    read(root, path)?.ok_or_else(none)
}

/// Makes a file to write it. What has its name already goes: whoever may write there may have put a
/// link there, or left a file.
pub(super) fn create(root: &Path, path: &Path) -> std::io::Result<File> {
    let (dir, name) = parent(root, path)?;
    match unlinkat(&dir, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
    Ok(File::from(openat(&dir, &name, flags, FILE)?))
}

/// Opens a file to read it and to write to its end; one is made where there is none, or only a link
/// or what else is no file.
pub(super) fn append(root: &Path, path: &Path) -> std::io::Result<File> {
    match open(root, path) {
        Ok(_) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(_) => drop(create(root, path)?),
    }
    let (dir, name) = parent(root, path)?;
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::CREATE;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(File::from(openat(&dir, &name, flags, FILE)?))
}

/// Moves a file to another name below the same root.
pub(super) fn rename(root: &Path, from: &Path, to: &Path) -> std::io::Result<()> {
    let ((from_dir, from), (to_dir, to)) = (parent(root, from)?, parent(root, to)?);
    Ok(renameat(from_dir, from, to_dir, to)?)
}

/// Removes a file, or a link itself.
pub(super) fn remove(root: &Path, path: &Path) -> std::io::Result<()> {
    let (dir, name) = parent(root, path)?;
    Ok(unlinkat(dir, name, AtFlags::empty())?)
}

/// Makes a directory and its parents last.
pub(super) fn create_dir(root: &Path, path: &str) -> Result<()> {
    let made = dir(root, Path::new(path), true);
    made.map(drop)
        .map_err(|cause| explained(root, path, "making", cause))
}

/// Refuses a directory that a link leads to; it need not be there.
pub(super) fn check_dir(root: &Path, path: &str) -> Result<()> {
    match dir(root, Path::new(path), false) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(explained(root, path, "reading", cause))
        }
        _ => Ok(()),
    }
}

/// The names in a directory, but those that are no UTF-8; none where there is none.
pub(super) fn names(root: &Path, path: &str) -> Result<Vec<String>> {
    let read = dir(root, Path::new(path), false).and_then(|dir| {
        let mut names = vec![];
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            names.extend(
                name.filter(|name| ![".", ".."].contains(name))
                    .map(str::to_owned),
            );
        }
        Ok(names)
    });
    match read {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(vec![]),
        read => read.map_err(|cause| explained(root, path, "reading", cause)),
    }
}

/// Removes the files of a directory, and links themselves.
pub(super) fn clear(root: &Path, path: &str) -> Result<()> {
    let cleared = dir(root, Path::new(path), false).and_then(|dir| {
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if ![c".", c".."].contains(&name) {
                unlinkat(&dir, name, AtFlags::empty())?;
            }
        }
        Ok(())
    });
    cleared.map_err(|cause| explained(root, path, "cleaning", cause))
}

/// Removes a directory with all that is in it; whether it was there.
pub(super) fn remove_dir(root: &Path, path: &str) -> Result<bool> {
    let removed = parent(root, Path::new(path)).and_then(|(dir, name)| {
        use std::os::fd::AsRawFd as _;
        // What is in it is removed by its name in the directory that is open, without links.
        let held = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
        std::fs::remove_dir_all(held.join(name))?;
        rustix::fs::fsync(&dir)?;
        Ok(())
    });
    match removed {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        removed => {
            removed.map_err(|cause| explained(root, path, "removing", cause))?;
            Ok(true)
        }
    }
}

/// Whoever finds a link learns that it is one.
pub(super) fn explained(root: &Path, path: &str, doing: &str, cause: IoError) -> Error {
    let whole = root.join(path);
    let link = Path::new(path)
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty())
        .find(|part| root.join(part).is_symlink());
    if link.is_none() && cause.kind() == ErrorKind::InvalidInput {
        return Error::gate(format!("{doing} {}: {cause}", whole.display()))
            .hint("find out who put it there, and restore the file from a backup or a copy");
    }
    let Some(link) = link else {
        return Err::<(), _>(cause)
            .doing(|| format!("{doing} {}", whole.display()))
            .unwrap_err();
    };
    let link = root.join(link);
    Error::gate(format!(
        "{doing} {}: {} is a link",
        whole.display(),
        link.display()
    ))
    .cause("a link in a repository could lead anywhere, so none is followed")
    .hint("put the file or directory itself there; a directory of another disk can be bind-mounted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_below_a_root_is_reached_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("repo"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir_all(outside.join("7")).unwrap();
        std::fs::write(outside.join("7/file"), "data").unwrap();
        std::fs::write(root.join("a/file"), "ours").unwrap();
        let ours = Path::new("a/file");
        for (to, name) in [("../outside", "link"), ("../outside/7/file", "file")] {
            std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        }
        assert_eq!(
            read(&root, "a/file").unwrap().as_deref(),
            Some(&b"ours"[..])
        );
        assert_eq!(read(&root, "a/none").unwrap(), None);
        for path in ["file", "link/7/file"] {
            let text = read(&root, path).unwrap_err().render();
            assert!(
                text.contains("is a link") && text.contains("hint: "),
                "{text}"
            );
        }
        assert!(read(&root, "../outside/7/file").is_err());
        assert!(remove_dir(&root, "link/7").is_err());
        assert!(clear(&root, "link/7").is_err() && clear(&root, "../outside/7").is_err());
        assert!(remove_dir(&root, "../outside/7").is_err());
        assert!(create_dir(&root, "link/new").is_err());
        assert!(rename(&root, ours, Path::new("link/file")).is_err());
        assert_eq!(std::fs::read(outside.join("7/file")).unwrap(), b"data");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        for (name, open) in [("one", create as fn(&Path, &Path) -> _), ("two", append)] {
            std::os::unix::fs::symlink("../outside/7/file", root.join("a").join(name)).unwrap();
            let mut file = open(&root, &Path::new("a").join(name)).unwrap();
            std::io::Write::write_all(&mut file, b"ours").unwrap();
            assert!(open(&root, &Path::new("link/7").join(name)).is_err());
        }
        append(&root, Path::new("a/two")).unwrap();
        assert_eq!(std::fs::read(root.join("a/two")).unwrap(), b"ours");
        assert_eq!(std::fs::read(outside.join("7/file")).unwrap(), b"data");
        create_dir(&root, "b/c").unwrap();
        rename(&root, ours, Path::new("b/c/file")).unwrap();
        assert_eq!(names(&root, "b").unwrap(), ["c"]);
        assert!(names(&root, "link").is_err() && names(&root, "none").unwrap().is_empty());
        clear(&root, "b/c").unwrap();
        assert_eq!(std::fs::read_dir(root.join("b/c")).unwrap().count(), 0);
        assert!(remove_dir(&root, "b").unwrap() && !remove_dir(&root, "b").unwrap());
        remove(&root, Path::new("file")).unwrap();
        assert!(outside.join("7/file").exists());
    }
}
