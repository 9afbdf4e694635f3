//! Names and files that outlive a power loss. What was written lasts once the file was synced, and
//! its name once the directory was.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};

/// Makes the names in a directory last.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a directory, and those above it that are missing, and makes their names last. `mode` is
/// what the umask takes from.
///
/// # Errors
/// When one cannot be made or synced.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    create_dir(parent, mode)?;
    match DirBuilder::new().mode(mode).create(path) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    sync_dir(parent)
}

/// Makes everything at and below a directory last, but not its own name. Neither links nor what is
/// no file count.
///
/// # Errors
/// When something cannot be read or synced.
pub fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Gives a damaged file another name, `NAME.damaged` or one with a number: an earlier one may have more in
/// it. Who calls it holds a lock.
///
/// # Errors
/// When it cannot be renamed.
pub fn put_aside(file: &Path) -> io::Result<PathBuf> {
    let end = file.extension().unwrap_or_default().to_string_lossy();
    let names = (1..).map(|number| match number {
        1 => format!("{end}.damaged"),
        _ => format!("{end}.damaged.{number}"),
    });
    let mut free = names.map(|name| file.with_extension(name));
    let aside = free.find(|aside| aside.symlink_metadata().is_err());
    let aside = aside.unwrap_or_default();
    std::fs::rename(file, &aside).map(|()| aside)
}

/// Replaces a file by one rename, synced.
///
/// # Errors
/// When the file or its directory cannot be written.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("."));
    create_dir(dir, 0o700).doing(doing)?;
    let mut file = tempfile::NamedTempFile::new_in(dir).doing(doing)?;
    file.write_all(content).doing(doing)?;
    file.as_file().sync_all().doing(doing)?;
    file.persist(path).map_err(|e| e.error).doing(doing)?;
    sync_dir(dir).doing(doing)
}
