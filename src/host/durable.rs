//! Names and files that outlive a power loss. What was written lasts once the file was synced, and
//! its name once the directory was.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

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
