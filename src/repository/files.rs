//! Files that are there completely, after a power loss too, or not at all.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha512};

use super::below;
use crate::digest::{Hashed, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::host::{durable, interrupt};

/// Replaces a file below a repository's root in one step.
pub(super) fn write(root: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let aside = format!("{path}.new");
    write_aside(root, &aside, path, bytes)
        .and_then(|()| rename(root, &aside, path))
        .inspect_err(|_| drop(below::remove(root, Path::new(&aside))))
}

/// Writes a file that will replace the one at `path`; nobody looks at it yet.
pub(super) fn write_aside(root: &Path, aside: &str, path: &str, bytes: &[u8]) -> Result<()> {
    let old = below::open(root, Path::new(path)).and_then(|file| file.metadata()?.modified());
    let written = below::create(root, Path::new(aside)).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Ok(old) = old {
            later_than(&file, old)?;
        }
        file.sync_all()
    });
    written.map_err(|cause| below::explained(root, aside, "writing", cause))
}

/// Gives a file that replaces another one a later time of modification, in whole seconds. Web
/// servers tell files apart by that and the size: nginx (1.22) answers 304 Not Modified for a file
/// of the same length that was written within the same second.
fn later_than(new: &File, old: SystemTime) -> std::io::Result<()> {
    let whole = old.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let least = UNIX_EPOCH + Duration::from_secs(whole + 1);
    match new.metadata()?.modified()? >= least {
        true => Ok(()),
        false => new.set_modified(least),
    }
}

/// Copies a file to one below a repository's root, synced, and shows `also` every byte of it;
/// returns its size in bytes and its SHA-512 in hex.
pub(super) fn copy(
    from: &Path,
    root: &Path,
    to: &str,
    also: impl FnMut(&[u8]),
) -> Result<(u64, String)> {
    let target = below::create(root, Path::new(to));
    let target = target.map_err(|cause| below::explained(root, to, "writing", cause))?;
    let source = File::open(from).doing(|| format!("reading {}", from.display()))?;
    let to = (&*root.join(to), target);
    let copied = append((from, source), to, (Sha512::new(), 0), also)?;
    Ok((copied.size, copied.sha512))
}

/// A file that was copied.
#[derive(Debug)]
pub(super) struct Copied {
    /// Its size in bytes.
    pub(super) size: u64,
    /// How many of them an interrupted copy had left.
    pub(super) left: u64,
    /// SHA-512 of the copy, in hex.
    pub(super) sha512: String,
}

/// Copies what an interrupted copy has not copied yet, synced. What it has left is taken as it is.
pub(super) fn copy_on(from: (&Path, File), root: &Path, to: &str) -> Result<Copied> {
    let target = below::append(root, Path::new(to));
    let target = target.map_err(|cause| below::explained(root, to, "writing", cause))?;
    let to = root.join(to);
    let left = target.metadata();
    let left = left.doing(|| format!("reading {}", to.display()))?.len();
    let mut hasher = Sha512::new();
    each_chunk(&to, (&target).take(left), |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    append(from, (&to, target), (hasher, left), |_| {})
}

fn append(
    from: (&Path, File),
    to: (&Path, File),
    (mut hasher, left): (Sha512, u64),
    mut also: impl FnMut(&[u8]),
) -> Result<Copied> {
    let (from, mut source) = from;
    let reading = || format!("reading {}", from.display());
    let (path, mut target) = to;
    let writing = || format!("writing {}", path.display());
    source.seek(SeekFrom::Start(left)).doing(reading)?;
    let mut size = left;
    each_chunk(from, source, |bytes| {
        hasher.update(bytes);
        also(bytes);
        size += bytes.len() as u64;
        target.write_all(bytes).doing(writing)
    })?;
    target.sync_all().doing(writing)?;
    let sha512 = hex::encode(hasher.finalize());
    Ok(Copied { size, left, sha512 })
}

/// The SHA-512 of a file, in hex.
pub(super) fn sha512(path: &Path, file: File) -> Result<String> {
    let mut hasher = Sha512::new();
    each_chunk(path, file, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hex::encode(hasher.finalize()))
}

/// The SHA-512 of a file in hex, its SHA-256, and its size in bytes.
pub(super) fn digests(path: &Path, file: &mut File) -> Result<(String, Sha256, u64)> {
    let (mut sha512, mut sha256) = (Sha512::new(), Hashed::new(std::io::sink()));
    each_chunk(path, &mut *file, |bytes| {
        sha512.update(bytes);
        sha256.write_all(bytes).doing(|| "hashing".into())
    })?;
    let (_, sha256, size) = sha256.finish();
    Ok((hex::encode(sha512.finalize()), sha256, size))
}

fn each_chunk(
    path: &Path,
    mut from: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        interrupt::check()?;
        let count = from.read(&mut buffer);
        match count.doing(|| format!("reading {}", path.display()))? {
            0 => return Ok(()),
            count => take(&buffer[..count])?,
        }
    }
}

/// Moves a synced file to its place.
pub(super) fn rename(root: &Path, from: &str, to: &str) -> Result<()> {
    let moved = below::rename(root, Path::new(from), Path::new(to));
    moved.map_err(|cause| below::explained(root, to, "writing", cause))?;
    sync_parent(&root.join(to))
}

/// Makes the names in a file's directory last.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let doing = || format!("syncing {}", parent.display());
    durable::sync_dir(parent).doing(doing)
}

/// Reads a file of ours; nothing when it does not exist.
pub(super) fn read_json<T: DeserializeOwned>(root: &Path, path: &str) -> Result<Option<T>> {
    let Some(bytes) = below::read(root, path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| {
        Error::stage(format!("{} is damaged", root.join(path).display()))
            .cause(cause)
            .hint("restore this file from a backup or a copy of the repository")
    })
}

/// Replaces a file of ours in one step.
pub(super) fn write_json(root: &Path, path: &str, value: &impl Serialize) -> Result<()> {
    write(root, path, &json(value)?)
}

/// JSON as people can read it.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|cause| Error::internal("a value does not fit into JSON").cause(cause))?;
    bytes.push(b'\n');
    Ok(bytes)
}
