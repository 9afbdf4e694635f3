//! What others may change while it is read.
//!
//! Who may write to a disk, or put another file or a link in its place, can do so between a look at
//! it and at the files that it names, and the moment in which a program opens it and them. So what
//! others can change is opened once and copied to where nobody else can, and the copy is what is
//! looked at, and what is used.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk_copy::{connect, copied, parts};
use super::opened::open_itself;
use super::others::{self, Layer};
use super::ours::{Owners, Seen};
use super::temporary::{Temporary, is_ours};
use crate::error::{Context as _, Error, Result};

/// A file, or disk, that nobody else can change as long as this lives.
#[derive(Debug, Clone)]
pub struct PinnedFile {
    path: PathBuf,
    read: Arc<File>,
    data: Metadata,
    _copies: Option<Arc<Temporary>>,
}

impl PinnedFile {
    /// A file: itself, or a copy.
    ///
    /// # Errors
    /// When it cannot be read, or there is no room for the copy.
    pub fn file(file: &Path) -> Result<Self> {
        let path = named(file)?;
        if is_ours(&path) {
            return PinnedFile::in_place(path);
        }
        let dir = Temporary::roomy()?;
        let copy = dir.path().join(path.file_name().unwrap_or_default());
        let read = copied(&path, &copy)?;
        Ok(PinnedFile::of(copy, read, Some(dir)))
    }

    fn in_place(path: PathBuf) -> Result<Self> {
        let doing = || format!("reading {}", path.display());
        let read = open_itself(&path).doing(doing)?;
        let data = read.metadata().doing(doing)?;
        Ok(PinnedFile::of(path, (read, data), None))
    }

    fn of(path: PathBuf, (read, data): (File, Metadata), copies: Option<Temporary>) -> Self {
        PinnedFile {
            path,
            read: Arc::new(read),
            data,
            _copies: copies.map(Arc::new),
        }
    }

    /// A user's disk, of which QEMU reads nothing but itself and the files of `backing`.
    ///
    /// # Errors
    /// As [`others::check`] and [`PinnedFile::file`].
    pub fn disk(disk: &Path, format: &str, backing: &[PathBuf]) -> Result<Self> {
        let path = named(disk)?;
        // What is compared with `backing` here is what the copies are on, whatever they say by then.
        let backing: Vec<PathBuf> = backing
            .iter()
            .map(|path| named(path))
            .collect::<Result<_>>()?;
        let mut layers = others::check(&path, format, &backing)?;
        let Some(last) = last_of_others(&layers) else {
            return PinnedFile::in_place(path);
        };
        let dir = Temporary::roomy()?;
        let mut copy = |number: usize| -> Result<(File, Metadata)> {
            let Layer { real, format, .. } = &layers[number];
            let place = dir.path().join(number.to_string());
            std::fs::create_dir(&place).doing(|| format!("making {}", place.display()))?;
            let copy = place.join(real.file_name().unwrap_or_default());
            let read = copied(real, &copy)?;
            parts(real, &copy, format)?;
            connect(&copy, format, layers.get(number + 1))?;
            layers[number].real = copy;
            Ok(read)
        };
        // The lowest first: those above are told where it is.
        for number in (1..=last).rev() {
            copy(number)?;
        }
        let read = copy(0)?;
        Ok(PinnedFile::of(layers.swap_remove(0).real, read, Some(dir)))
    }

    /// What was taken, as it was then, also where it was copied.
    pub fn data(&self) -> &Metadata {
        &self.data
    }

    /// The file that was taken, also where it was copied.
    pub fn read(&self) -> &File {
        &self.read
    }

    /// Where it is: absolute, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The lowest layer that has to be copied, as others can change it, or what its name for the next
/// one means.
fn last_of_others(layers: &[Layer]) -> Option<usize> {
    let is_named = |number: usize| {
        let next = layers.get(number + 1);
        next.is_some_and(|next| next.path != next.real)
    };
    let numbered = layers.iter().enumerate();
    let mut of_others =
        numbered.filter(|(number, layer)| is_named(*number) || !is_ours(&layer.real));
    of_others.next_back().map(|(number, _)| number)
}

/// The most links that Linux follows, too.
const LINKS: usize = 40;

/// A path that a user named, without links. A link of somebody else's leads where that one says.
///
/// # Errors
/// When there is no such file, or somebody else made a link on the way to it.
pub fn named(path: &Path) -> Result<PathBuf> {
    let unreadable =
        |cause: io::Error| Error::usage(format!("{} cannot be read", path.display())).cause(cause);
    follow(path, unreadable, |link, seen| {
        match Owners::obeyed().fault(link, seen, true) {
            None => Ok(()),
            Some(fault) => Err(Error::usage(format!(
                "{} is not followed: {} is a link of another user",
                path.display(),
                link.display()
            ))
            .cause(fault.why)
            .hint("name the file that it leads to, if that is the one you mean")),
        }
    })
}

/// Where a path leads, without links. Each link on the way is given to `judge` by its own path without
/// links, and followed as it was then.
///
/// # Errors
/// Of `judge`, and of `unreadable` when there is no such file.
pub fn follow<E>(
    path: &Path,
    unreadable: impl Fn(io::Error) -> E,
    mut judge: impl FnMut(&Path, &Seen) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let absolute = std::path::absolute(path).map_err(&unreadable)?;
    let (mut at, mut links) = (PathBuf::new(), 0);
    let words = |path: &Path| -> Vec<PathBuf> {
        let words = path.components().rev();
        words.map(|word| PathBuf::from(word.as_os_str())).collect()
    };
    let mut left = words(&absolute);
    while let Some(word) = left.pop() {
        if word == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(word);
        let seen = Seen::at(&next).map_err(&unreadable)?;
        let Some(target) = seen.target() else {
            at = next;
            continue;
        };
        judge(&next, &seen)?;
        links += 1;
        if links > LINKS {
            return Err(unreadable(rustix::io::Errno::LOOP.into()));
        }
        left.extend(words(target));
    }
    Ok(at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::exec::Program;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    pub(in crate::host) fn make(dir: &Path, words: &[&str]) {
        let program = Program::new("qemu-img").dir(dir);
        program.args(words).run().unwrap();
    }

    /// A chain of three, and a disk in parts, in a directory that others may write if `open`.
    pub(in crate::host) fn disks(open: bool) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        std::fs::write(at.join("base.raw"), vec![7; 1 << 20]).unwrap();
        for (name, format, below) in [("middle", "raw", "base.raw"), ("top", "qcow2", "middle")] {
            let create = ["create", "-q", "-f", "qcow2", "-F", format, "-b", below];
            make(at, &[&create[..], &[name]].concat());
        }
        let parts = ["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat"];
        make(at, &[&parts[..], &["base.raw", "parts.vmdk"]].concat());
        let mode = if open { 0o777 } else { 0o755 };
        std::fs::set_permissions(at, Permissions::from_mode(mode)).unwrap();
        dir
    }

    #[test]
    fn what_others_may_change_is_copied_before_it_is_looked_at() {
        for (open, copies) in [(false, false), (true, true)] {
            let dir = disks(open);
            let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
            let both = [at("middle"), at("base.raw")];
            for (name, format, backing) in [
                ("top", "qcow2", &both[..]),
                ("middle", "qcow2", &both[1..]),
                ("parts.vmdk", "vmdk", &[]),
                ("base.raw", "raw", &[]),
            ] {
                let taken = PinnedFile::disk(&at(name), format, backing).unwrap();
                assert_eq!(taken.path() != at(name), copies, "{name}");
                let kept = taken.path().parent().unwrap().to_owned();
                // Whatever becomes of the disk: the copy stands, and is on what was named.
                if copies {
                    std::fs::rename(at(name), at("gone")).unwrap();
                    std::os::unix::fs::symlink("/etc/passwd", at(name)).unwrap();
                }
                let raw = tempfile::NamedTempFile::new().unwrap();
                let convert = ["convert", "-f", format, "-O", "raw"].map(Path::new);
                let convert = Program::new("qemu-img").args(convert);
                convert.args([taken.path(), raw.path()]).run().unwrap();
                assert!(std::fs::read(raw.path()).unwrap() == vec![7; 1 << 20]);
                if copies {
                    std::fs::rename(at("gone"), at(name)).unwrap();
                }
                drop(taken);
                assert_eq!(kept.exists(), !copies, "the copy goes");
            }
            assert_eq!(
                PinnedFile::file(&at("top")).unwrap().path() != at("top"),
                copies
            );
        }
    }

    /// A link of this user is followed, also to others, through directories and relative names; one
    /// of somebody else is not.
    #[test]
    fn a_link_of_somebody_else_is_not_followed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let at = |name: &str| real.join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/disk"), "").unwrap();
        for (to, link) in [
            ("a", "c"),
            ("b/../b/./disk", "a/d"),
            ("c/d", "e"),
            ("f", "f"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        assert_eq!(named(&at("e")).unwrap(), at("a/b/disk"));
        assert_eq!(named(&at("c/../e")).unwrap(), at("a/b/disk"));
        assert!(named(&at("f")).is_err() && named(&at("g")).is_err());
        let refused = |path: &Path| {
            let error = named(path).unwrap_err();
            assert!(
                error.message().contains("a link of another user"),
                "{error}"
            );
        };
        if super::super::ours::me() == 0 {
            std::os::unix::fs::lchown(at("c"), Some(65534), None).unwrap();
            refused(&at("e"));
            refused(&at("c/b/disk"));
            let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "c/b/disk"];
            std::fs::write(at("a/b/disk"), [0; 512]).unwrap();
            make(&real, &[&create[..], &["top"]].concat());
            let error = PinnedFile::disk(&at("top"), "qcow2", &[at("c/b/disk")]).unwrap_err();
            assert!(
                error.message().contains("a link of another user"),
                "{error}"
            );
        } else {
            // Any of root's is followed.
            assert!(named(Path::new("/proc/self/exe")).is_ok());
        }
    }
}
