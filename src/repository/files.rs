//! Files that are there completely, after a power loss too, or not at all.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha512};

use crate::error::{Context as _, Error, Result};
use crate::host::{durable, interrupt};

/// Replaces a file in one step.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = aside(path);
    let written = write_in_place(&aside, bytes).and_then(|()| later_than(&aside, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&aside)))?;
    rename(&aside, path)
}

/// Gives a file that replaces another one a later time of modification, in whole seconds. Web
/// servers tell files apart by that and the size: nginx (1.22) answers 304 Not Modified for a file
/// of the same length that was written within the same second.
pub(super) fn later_than(new: &Path, old: &Path) -> Result<()> {
    let time = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let Ok(before) = time(old) else { return Ok(()) };
    let whole = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let doing = || format!("writing {}", new.display());
    let least = UNIX_EPOCH + Duration::from_secs(whole(before) + 1);
    if time(new).doing(doing)? >= least {
        return Ok(());
    }
    let file = File::options().write(true).open(new).doing(doing)?;
    file.set_modified(least).doing(doing)?;
    file.sync_all().doing(doing)
}

/// Writes a file that nobody looks at yet.
pub(super) fn write_in_place(path: &Path, bytes: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let mut file = File::create(path).doing(doing)?;
    file.write_all(bytes).doing(doing)?;
    file.sync_all().doing(doing)
}

/// Copies a file, synced; returns its size in bytes and its SHA-512 in hex.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(u64, String)> {
    let target = File::create(to).doing(|| format!("writing {}", to.display()))?;
    let source = File::open(from).doing(|| format!("reading {}", from.display()))?;
    let copied = append((from, source), (to, target), Sha512::new(), 0)?;
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
pub(super) fn copy_on(from: (&Path, File), to: &Path) -> Result<Copied> {
    let doing = || format!("writing {}", to.display());
    let target = File::options().create(true).append(true).open(to);
    let target = target.doing(doing)?;
    let found = target.metadata().doing(doing)?;
    let left = if found.is_file() { found.len() } else { 0 };
    let mut hasher = Sha512::new();
    if left > 0 {
        let part = File::open(to).doing(doing)?;
        each_chunk(to, part.take(left), |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
    }
    append(from, (to, target), hasher, left)
}

fn append(from: (&Path, File), to: (&Path, File), mut hasher: Sha512, left: u64) -> Result<Copied> {
    let (from, mut source) = from;
    let reading = || format!("reading {}", from.display());
    let (path, mut target) = to;
    let writing = || format!("writing {}", path.display());
    source.seek(SeekFrom::Start(left)).doing(reading)?;
    let mut size = left;
    each_chunk(from, source, |bytes| {
        hasher.update(bytes);
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
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).doing(|| format!("writing {}", to.display()))?;
    sync_parent(to)
}

/// Makes a directory and its parents last.
pub(super) fn create_dir(path: &Path) -> Result<()> {
    durable::create_dir(path, 0o777).doing(|| format!("making {}", path.display()))
}

/// Makes the names in a file's directory last.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let doing = || format!("syncing {}", parent.display());
    durable::sync_dir(parent).doing(doing)
}

/// Reads a file of ours; nothing when it does not exist.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause).doing(|| format!("reading {}", path.display())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| {
        Error::stage(format!("{} is damaged", path.display()))
            .cause(cause)
            .hint("restore this file from a backup or a copy of the repository")
    })
}

/// Replaces a file of ours in one step.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write(path, &json(value)?)
}

/// JSON as people can read it.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|cause| Error::internal("a value does not fit into JSON").cause(cause))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}
