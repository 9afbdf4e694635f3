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
use crate::host::ours::{self, Seen};

/// How the names begin, and no others of imgforge.
const PREFIX: &str = "imgforge-now-";

/// The moment in which a new directory has no lock yet is shorter than this.
const YOUNG: Duration = Duration::from_secs(60);

/// Where large files may lie for a while: `/tmp` may be memory. `TMPDIR` is where others cannot rename
/// what is in it, or not at all.
pub fn roomy() -> PathBuf {
    chosen().unwrap_or_else(|| "/var/tmp".into())
}

/// `TMPDIR`, where it is for scratch.
pub fn chosen() -> Option<PathBuf> {
    let dir = std::env::var_os("TMPDIR")?;
    let real = Path::new(&dir).canonicalize().ok()?;
    is_ours(&real).then_some(real)
}

/// Where small files may lie.
pub fn small() -> PathBuf {
    chosen().unwrap_or_else(|| "/tmp".into())
}

/// Sees to it that no other place is used for what is made on the way; returns `TMPDIR` where it is
/// refused.
pub fn settle() -> Option<PathBuf> {
    // Nothing was made before.
    drop(tempfile::env::override_temp_dir(&small()));
    let named = std::env::var_os("TMPDIR")?;
    chosen().is_none().then(|| named.into())
}

/// The directory for scratch of what is, or becomes, the file `path`: its own, where nobody else can
/// rename what is in it, or put a link in its place; else [`roomy`].
pub fn beside(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new(".")).canonicalize();
    dir.ok().filter(|dir| is_ours(dir)).unwrap_or_else(roomy)
}

/// Whether only root and this user decide what a path, which has no links, and the names above it
/// mean, and what is there. Stricter than [`ours::Owners`], as nobody is refused for it.
pub fn is_ours(path: &Path) -> bool {
    let owners = ours::Owners::me_and_root();
    let others_tell = |seen: &Seen| owners.foreign_teller(seen).is_some();
    let of = |seen: &Seen| (seen.data().uid(), seen.data().mode());
    Seen::on_the_way_to(path)
        .is_ok_and(|seen| !seen.iter().any(others_tell) && decide(seen.iter().map(of), ours::me()))
}

/// Of owners and modes, from the root directory on.
fn decide(path: impl IntoIterator<Item = (u32, u32)>, me: u32) -> bool {
    let mut shut = false;
    path.into_iter().all(|(owner, mode)| {
        let is_dir = mode & 0o170_000 == 0o040_000;
        // A group has members, also one that is called private, and its bits are those of an access
        // list, too. Where nobody else can enter a directory above, they do not matter.
        let others = if shut { 0o002 } else { 0o022 };
        shut |= is_dir && mode & 0o077 == 0;
        // In a sticky directory each renames what is their own.
        [0, me].contains(&owner) && (mode & others == 0 || is_dir && mode & 0o1000 != 0)
    })
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
        Self::at(&small())
    }

    /// As [`Temporary::new`], for what is large.
    ///
    /// # Errors
    /// As [`Temporary::new`].
    pub fn roomy() -> Result<Self> {
        Self::at(&roomy())
    }

    fn at(place: &Path) -> Result<Self> {
        let error = || format!("making a directory in {}", place.display());
        Self::within(place).doing(error)
    }

    fn within(place: &Path) -> std::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = File::open(dir.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Temporary { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what killed processes of this user left; returns what was removed.
pub fn sweep() -> Vec<PathBuf> {
    let (mut places, before) = (vec![small(), roomy()], SystemTime::now() - YOUNG);
    places.dedup();
    let swept = places.iter().flat_map(|place| sweep_within(place, before));
    swept.collect()
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
    fn a_group_decides_unless_nobody_else_can_enter() {
        const DIR: u32 = 0o040_000;
        const FILE: u32 = 0o100_000;
        let root = [(0, DIR | 0o755)];
        for (below, ours) in [
            (&[(7, DIR | 0o755), (7, FILE | 0o644)][..], true),
            (&[(7, DIR | 0o775), (7, FILE | 0o644)], false),
            (&[(7, DIR | 0o755), (7, FILE | 0o664)], false),
            (
                &[(7, DIR | 0o700), (7, DIR | 0o775), (7, FILE | 0o664)],
                true,
            ),
            (&[(7, DIR | 0o750), (7, DIR | 0o775)], false),
            (&[(7, DIR | 0o700), (7, DIR | 0o777)], false),
            (&[(7, DIR | 0o700), (8, DIR | 0o755)], false),
            (&[(0, DIR | 0o1777), (7, FILE | 0o644)], true),
            (&[(0, DIR | 0o1777), (7, FILE | 0o1666)], false),
            (&[(8, DIR | 0o755), (7, FILE | 0o644)], false),
        ] {
            let path = root.iter().chain(below).copied();
            assert_eq!(decide(path, 7), ours, "{below:?}");
        }
    }

    #[test]
    fn only_what_a_dead_process_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let alive = Temporary::within(place.path()).unwrap();
        let Temporary { dir, _lock } = Temporary::within(place.path()).unwrap();
        // As its end does: dropped, it may be held by a program that another thread starts.
        flock(&_lock, FlockOperation::Unlock).unwrap();
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
