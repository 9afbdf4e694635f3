//! What libguestfs keeps outside the scratch directory, so that it can go after a kill.
//!
//! For root, libguestfs puts its sockets into a directory in `/tmp`, whatever it is told, and
//! removes it when the handle is closed. A link in the scratch directory says which one it is:
//! whoever clears a dead process' scratch directory finds it there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::watch::children_with;
use crate::error::{Context as _, Result};
use crate::host::{ours, temporary};

/// Prefix of the scratch directories of sessions.
const SCRATCH: &str = "guestfs-";

/// Name of the link.
const LINK: &str = "sockets";

/// How deep below a directory sessions make theirs.
const DEPTH: usize = 4;

/// How often the appliance is looked for while it starts.
const RETRY: Duration = Duration::from_millis(20);

/// A session's scratch directory: beside the disk that it writes to, as that place is the caller's
/// scratch, where nobody else can rename what is there; else where temporary files go. Root starts a
/// program in it.
pub(super) fn scratch(disk: Option<&Path>) -> Result<TempDir> {
    let mut make = tempfile::Builder::new();
    make.prefix(SCRATCH);
    disk.and_then(|disk| make.tempdir_in(temporary::beside(disk)).ok())
        .map_or_else(|| make.tempdir(), Ok)
        .doing(|| "making a scratch directory".into())
}

/// Runs `launch`, and meanwhile leaves a link in `scratch` to the sockets of the appliance whose
/// command line contains `marker`.
pub(super) fn noting<T>(scratch: &Path, marker: &str, launch: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && !note(scratch, marker) {
                std::thread::sleep(RETRY);
            }
        });
        let result = launch();
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn note(scratch: &Path, marker: &str) -> bool {
    let lines = children_with(marker)
        .into_iter()
        .filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok());
    for line in lines {
        if let Some(dir) = sockets(&line).filter(|dir| !dir.starts_with(scratch)) {
            drop(std::os::unix::fs::symlink(dir, scratch.join(LINK)));
            return true;
        }
    }
    false
}

/// The directory of the sockets in the appliance's command line.
fn sockets(line: &[u8]) -> Option<PathBuf> {
    const NAME: &[u8] = b"/guestfsd.sock";
    let end = line.windows(NAME.len()).position(|part| part == NAME)?;
    let start = line[..end].iter().rposition(|b| b"=,\0".contains(b))? + 1;
    let dir = Path::new(OsStr::from_bytes(&line[start..end]));
    dir.is_absolute().then(|| dir.to_owned())
}

/// Removes the sockets of the sessions whose scratch directories are below `dir`; for those whose
/// process is gone.
pub fn remove_sockets_below(dir: &Path) {
    below(dir, DEPTH);
}

fn below(dir: &Path, depth: usize) {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // What the appliance's QEMU may write to is not this user's, if it is root.
    let ours = |entry: &std::fs::DirEntry| {
        let found = entry.metadata();
        found.is_ok_and(|found| found.is_dir() && found.uid() == ours::me())
    };
    for entry in names.filter(ours) {
        if let Ok(target) = std::fs::read_link(entry.path().join(LINK))
            && entry.file_name().as_bytes().starts_with(SCRATCH.as_bytes())
            && is_sockets(&target)
        {
            drop(std::fs::remove_dir_all(target));
        }
        if depth > 0 {
            below(&entry.path(), depth - 1);
        }
    }
}

/// Whether a link leads to what libguestfs makes, for this user: the scratch directory is ours,
/// but caution costs nothing.
fn is_sockets(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().as_bytes();
    let named = name.starts_with(b"libguestfs") && dir.is_absolute();
    let ours = |data: std::fs::Metadata| data.is_dir() && data.uid() == ours::me();
    named && dir.symlink_metadata().is_ok_and(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_are_on_the_command_line() {
        let line = b"qemu\0-chardev\0socket,path=/tmp/libguestfsAb12/guestfsd.sock,id=x\0";
        assert_eq!(sockets(line).unwrap(), Path::new("/tmp/libguestfsAb12"));
        assert_eq!(sockets(b"qemu\0-uuid\x001\0"), None);
    }

    #[test]
    fn only_what_a_session_noted_goes() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (gone, other) = (made("libguestfsXYZ"), made("precious"));
        let scratch = made("state/drafts/1/guestfs-1");
        std::os::unix::fs::symlink(&gone, scratch.join(LINK)).unwrap();
        let scratch = made("state/drafts/1/guestfs-2");
        std::os::unix::fs::symlink(&other, scratch.join(LINK)).unwrap();
        remove_sockets_below(&dir.path().join("state"));
        assert!(!gone.exists() && other.exists());
    }

    #[test]
    fn what_root_starts_is_not_put_where_others_can_swap_it() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let beside = |mode| {
            set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
            let scratch = scratch(Some(&dir.join("disk.raw"))).unwrap();
            scratch.path().starts_with(&dir)
        };
        assert!(beside(0o700));
        assert!(!beside(0o777));
    }
}
