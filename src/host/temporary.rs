//! Directories for a moment, such as key directories of `gpg`, whose paths must be short.
//!
//! They lie where the host has such things, not in the state. Each is locked as long as its owner
//! lives, so that what a killed process left can be told from what is in use.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context as _, Result};
use crate::host::ours::{self, Owners};

/// How the names begin, and no others of imgforge.
const PREFIX: &str = "imgforge-now-";

/// The moment in which a new directory has no lock yet is shorter than this.
const YOUNG: Duration = Duration::from_secs(60);

/// Where large files may lie for a while: `/tmp` may be memory.
pub fn roomy() -> PathBuf {
    std::env::var_os("TMPDIR").map_or("/var/tmp".into(), PathBuf::from)
}

/// The directory for scratch of what is, or becomes, the file `path`: its own, where nobody else can
/// rename what is in it, or put a link in its place; else [`roomy`].
pub fn beside(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new(".")).canonicalize();
    dir.ok().filter(|dir| is_ours(dir)).unwrap_or_else(roomy)
}

/// Whether only root and this user decide what the names at and above a directory mean.
fn is_ours(dir: &Path) -> bool {
    Owners::me_and_root().fault_at_or_above(dir).is_none()
}

/// A directory of this process alone. Dropping it removes it.
#[derive(Debug)]
pub struct Temporary {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Temporary {
    /// Makes one, for this user only.
    ///
    /// # Errors
    /// When the host's directory for such things cannot be written.
    pub fn new() -> Result<Self> {
        let place = std::env::temp_dir();
        let error = || format!("making a directory in {}", place.display());
        Self::within(&place).doing(error)
    }

    fn within(place: &Path) -> std::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = File::open(dir.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Temporary { dir, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what killed processes of this user left; returns what was removed.
pub fn sweep() -> Vec<PathBuf> {
    sweep_within(&std::env::temp_dir(), SystemTime::now() - YOUNG)
}

fn sweep_within(place: &Path, before: SystemTime) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let mut removed = Vec::new();
    for path in ours.map(|entry| entry.path()) {
        let old = path.symlink_metadata().is_ok_and(|found| {
            let changed = found.modified().is_ok_and(|changed| changed < before);
            found.is_dir() && found.uid() == ours::me() && changed
        });
        let Some(lock) = old.then(|| File::open(&path).ok()).flatten() else {
            continue;
        };
        let dead = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Who cannot remove it now tries again the next time.
        if dead && std::fs::remove_dir_all(&path).is_ok() {
            removed.push(path);
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_lies_where_nobody_else_can_rename_it() {
        use std::fs::{DirBuilder, Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let deep = place.join("a/b");
        DirBuilder::new().recursive(true).create(&deep).unwrap();
        let modes = |above: u32, itself: u32| {
            set_permissions(place.join("a"), Permissions::from_mode(above)).unwrap();
            set_permissions(&deep, Permissions::from_mode(itself)).unwrap();
            beside(&deep.join("disk"))
        };
        assert_eq!(modes(0o755, 0o700), deep);
        assert_eq!(modes(0o1777, 0o1777), deep);
        assert_eq!(modes(0o777, 0o700), roomy());
        assert_eq!(modes(0o700, 0o777), roomy());
        assert_eq!(beside(&place.join("none/disk")), roomy());
    }

    #[test]
    fn only_what_a_dead_process_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let alive = Temporary::within(place.path()).unwrap();
        let Temporary { dir, _lock } = Temporary::within(place.path()).unwrap();
        drop(_lock);
        let dead = dir.keep();
        std::fs::write(dead.join("keyring"), "x").unwrap();
        let other = place.path().join("imgforge-other");
        std::fs::create_dir(&other).unwrap();
        let link = place.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&other, &link).unwrap();

        let later = SystemTime::now() + Duration::from_secs(5);
        let early = SystemTime::now() - Duration::from_secs(3600);
        assert_eq!(sweep_within(place.path(), early), Vec::<PathBuf>::new());
        assert_eq!(sweep_within(place.path(), later), [dead]);
        assert!(alive.path().is_dir() && other.is_dir() && link.is_symlink());
    }
}
