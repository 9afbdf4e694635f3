//! Reads every file of a disk without a guest: ext and FAT; of anything else it says that it did not.

use std::collections::{BTreeMap, HashMap};
use std::fs::File as OsFile;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::index::{File, Index, Since};
use super::overlay::Overlay;
use super::owners;
use crate::error::{Context as _, Result};
use crate::ext4::{At, Fs, Inode, Run, Walk, read_at};
use crate::host::interrupt;
use crate::scan::source::parts::{self, Content, Volume};
use crate::scan::source::{ext, fat, table};

/// What of a partition's ends tells what it holds, in bytes: superblocks, labels of members.
const ENDS: u64 = 1 << 20;

/// Holes of a file that are left out of the digest of its content, where they have so many bytes.
const HOLES: u64 = 16 << 20;

/// How often all of the disk may be read: the content of a file is read once, whatever its names.
const TIMES: u64 = 2;

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// What was read of a disk.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its files, by path; since when they are so is not known yet, but by their own times.
    pub(super) files: Vec<File>,
    /// Bytes that the file systems have in use, where each of them says so.
    pub(super) used: Option<u64>,
    /// What was not read, a sentence each.
    pub(super) unread: Vec<String>,
    /// The databases of package managers, by path.
    pub(super) databases: BTreeMap<String, Vec<u8>>,
}

/// Reads a disk; content that the index of the disk below knows is not read again. `scratch` is a
/// directory for temporary files.
///
/// # Errors
/// When it cannot be read, or on an interrupt.
pub(super) fn read(disk: &Overlay, scratch: &Path, below: Option<&Index>) -> Result<Read> {
    let volumes = volumes(disk, scratch)?;
    let mut read = Read::default();
    let systems = systems(disk, &volumes, &mut read.unread);
    let mounts = ext::mounts(&systems, &volumes);
    let used = systems.iter().map(|(_, system)| system.used_bytes());
    read.used = read.unread.is_empty().then(|| used.sum());
    let at = |volume: &Volume| place(volume, &mounts);
    let mut reader = Reader {
        disk,
        below,
        began: below.and_then(last_change),
        budget: disk.size().saturating_mul(TIMES),
        databases: owners::LARGEST,
        read: &mut read,
        buffer: vec![0; CHUNK],
    };
    for (volume, system) in &systems {
        reader.ext(&at(volume), system)?;
    }
    for volume in volumes.iter().filter(|v| v.content == Content::Fat) {
        reader.fat(&at(volume), volume)?;
    }
    read.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(read)
}

/// When something of a disk was changed last, by the clock of who changed it.
fn last_change(index: &Index) -> Option<i64> {
    let times = index
        .files
        .iter()
        .flat_map(|file| [file.changed.at, file.dressed.at]);
    times.flatten().max()
}

/// The bytes of a volume.
fn within(volume: &Volume) -> Range<u64> {
    volume.start..volume.start.saturating_add(volume.size)
}

/// Why a volume is not read.
fn unread(volume: &Volume) -> String {
    let what = match (volume.content, volume.system.kind.as_str()) {
        (Content::Luks, _) => "it is encrypted".to_owned(),
        (_, "") => "its file system is not known".to_owned(),
        (_, kind) => format!("{kind} is not read without an appliance"),
    };
    format!("{}: {what}", volume.system.name)
}

/// The ext file systems of a disk, each with its volume. What else has data, or does not open, is added to
/// `missed`, a sentence each.
pub(crate) fn systems<'d, 'v>(
    disk: &'d Overlay,
    volumes: &'v [Volume],
    missed: &mut Vec<String>,
) -> Vec<(&'v Volume, Fs<'d>)> {
    let mut systems = vec![];
    for volume in volumes {
        match volume.content {
            Content::Ext => match open(disk, volume) {
                Ok(system) => systems.push((volume, system)),
                Err(cause) => missed.push(format!("{}: {cause}", volume.system.name)),
            },
            Content::Other | Content::Luks | Content::NoFiles
                if disk.data(within(volume)).next().is_some() =>
            {
                missed.push(unread(volume));
            }
            _ => {}
        }
    }
    systems
}

/// Where the files of a volume are in the image; those of one that is not mounted are below its name.
pub(crate) fn place(volume: &Volume, mounts: &HashMap<u32, Option<String>>) -> String {
    match mounts.get(&volume.number) {
        Some(Some(at)) => at.clone(),
        _ => format!("/({})", volume.system.name),
    }
}

/// Opens the ext file system of a volume.
fn open<'d>(disk: &'d Overlay, volume: &Volume) -> io::Result<Fs<'d>> {
    let range = within(volume);
    let stored = disk.data(range.clone()).map(|part| part.end - part.start);
    let there = disk.size().min(range.end).saturating_sub(range.start);
    // What lies in no cluster are zeroes: a whole table of unused inodes can.
    let stored = stored.sum::<u64>().saturating_add(64 << 20).min(there);
    Fs::open_within(disk, volume.start, there, stored)
}

/// What is on the disk, by the ends of all its partitions: the programs that know file systems and
/// tables read files.
pub(crate) fn volumes(disk: &Overlay, scratch: &Path) -> Result<Vec<Volume>> {
    let doing = || format!("writing to {}", scratch.display());
    let copy = tempfile::NamedTempFile::new_in(scratch).doing(doing)?;
    let file = copy.as_file();
    file.set_len(disk.size()).doing(doing)?;
    ends(disk, file, 0..disk.size()).doing(doing)?;
    let table = table::read(copy.path(), file, disk.size());
    for part in table.into_iter().flatten() {
        let end = part.start.saturating_add(part.size).min(disk.size());
        ends(disk, file, part.start..end).doing(doing)?;
    }
    parts::volumes(copy.path())
}

/// Copies both ends of a part.
fn ends(disk: &Overlay, to: &OsFile, part: Range<u64>) -> io::Result<()> {
    let first = part.start..part.end.min(part.start.saturating_add(ENDS));
    let last = part.end.saturating_sub(ENDS).max(first.end)..part.end;
    for end in [first, last] {
        for data in disk.data(end) {
            let mut bytes = vec![0; (data.end - data.start) as usize];
            disk.fill(&mut bytes, data.start)?;
            to.write_all_at(&bytes, data.start)?;
        }
    }
    Ok(())
}

struct Reader<'r> {
    disk: &'r Overlay,
    below: Option<&'r Index>,
    /// When the disk below was changed last.
    began: Option<i64>,
    /// Bytes that may still be read of files.
    budget: u64,
    /// Bytes that may still be read of databases.
    databases: u64,
    read: &'r mut Read,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Every file of an ext file system that is mounted at `at`.
    fn ext(&mut self, at: &str, system: &Fs<'_>) -> Result<()> {
        let mut names = HashMap::new();
        let root = system
            .root()
            .doing(|| format!("reading {at}/ of the image"))?;
        if at.is_empty() {
            let root = self.file("/".into(), system, &root, &mut names);
            self.read.files.extend(root.ok());
        }
        let mut walk = Walk::new(system);
        while let Some(next) = walk.next() {
            let (path, inode) =
                next.doing(|| format!("reading {at}{} of the image", walk.dir()))?;
            if self.read.files.len().is_multiple_of(1024) {
                interrupt::check()?;
            }
            let path = format!("{at}/{}", String::from_utf8_lossy(&path));
            if inode.is_encrypted() {
                self.read
                    .unread
                    .push(format!("{path}: it is encrypted (fscrypt)"));
                walk.pass_over(&inode);
                continue;
            }
            let doing = || format!("reading {path} of the image");
            let file = self.file(path.clone(), system, &inode, &mut names);
            let file = file.doing(doing)?;
            if inode.is_file() && owners::is_database(&file.path) {
                self.database(&file.path, system, &inode).doing(doing)?;
            }
            let bytes = size_of::<File>() + file.path.len() + file.content.len();
            system.charge(bytes).doing(doing)?;
            self.read.files.push(file);
        }
        Ok(())
    }

    /// Reads what a package manager knows.
    fn database(&mut self, path: &str, system: &Fs<'_>, inode: &Inode) -> io::Result<()> {
        let Some(left) = self.databases.checked_sub(inode.size) else {
            let why = "with it the lists of packages are larger than any, and it is not read";
            self.read.unread.push(format!("{path}: {why}"));
            return Ok(());
        };
        self.databases = left;
        let content = system.read(inode, inode.size)?;
        self.read.databases.insert(path.to_owned(), content);
        Ok(())
    }

    /// `names` has the inodes that were there before, with the digests of those that have several names.
    fn file(
        &mut self,
        path: String,
        system: &Fs<'_>,
        inode: &Inode,
        names: &mut HashMap<u64, String>,
    ) -> io::Result<File> {
        let mark = inode.fingerprint();
        let known = names.get(&inode.number).cloned();
        let since = |at: i64| Since {
            layer: 0,
            at: Some(at),
        };
        let dressed = inode.changed();
        // What was there before got this name later, and what was set back was written before.
        let now = |at: &i64| *at > self.began.unwrap_or(0) && *at <= dressed;
        let born = inode.born().filter(now).unwrap_or(dressed);
        let written = inode.written().max(inode.born().unwrap_or(0));
        let written = Some(written).filter(now).unwrap_or(dressed);
        let before = self.below.and_then(|below| below.find(&path));
        let content = match before.filter(|before| before.mark == mark) {
            Some(before) => before.content.clone(),
            None if known.as_ref().is_some_and(|known| !known.is_empty()) => {
                known.clone().unwrap_or_default()
            }
            None if inode.is_link() => String::from_utf8_lossy(&system.link(inode)?).into_owned(),
            None if inode.is_file() => self.digest(inode.size, &system.runs(inode)?)?,
            None => String::new(),
        };
        let first = known.is_none();
        if first {
            let several = inode.is_file() && inode.names() > 1;
            names.insert(
                inode.number,
                if several {
                    content.clone()
                } else {
                    String::new()
                },
            );
        }
        Ok(File {
            path,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size: inode.size,
            stored: if first { inode.stored_bytes() } else { 0 },
            mark,
            content,
            born: since(born),
            changed: since(written),
            dressed: since(dressed),
            claim: None,
        })
    }

    /// Every file of a FAT; it has no owners, and its times are not read.
    fn fat(&mut self, at: &str, volume: &Volume) -> Result<()> {
        let disk = self.disk;
        fat::list(disk, volume.start, |listed| {
            let mut from = 0;
            let runs = listed.runs.iter().map(|part| {
                let len = part.end - part.start;
                let run = Run {
                    at: from,
                    place: part.start,
                    len,
                };
                from += len;
                run
            });
            let runs: Vec<Run> = runs.collect();
            let path = format!("{at}{}", listed.path);
            let content = match listed.is_dir {
                true => String::new(),
                false => {
                    let digest = self.digest(listed.size, &runs);
                    digest.doing(|| format!("reading {path} of the image"))?
                }
            };
            // Nobody counts what a FAT has in use, beside its files.
            self.read.used = self.read.used.map(|used| used.saturating_add(from));
            self.read.files.push(File {
                path,
                mode: if listed.is_dir { 0o040_755 } else { 0o100_644 },
                size: listed.size,
                stored: from,
                content,
                ..File::default()
            });
            Ok(())
        })
    }

    /// The digest of a file's content; long holes are passed over.
    fn digest(&mut self, size: u64, runs: &[Run]) -> io::Result<String> {
        let data: u64 = runs.iter().map(|run| run.len).sum();
        let sparse = size.saturating_sub(data) >= HOLES;
        let wanted = if sparse { data } else { size };
        let left = self.budget.checked_sub(wanted);
        self.budget =
            left.ok_or_else(|| io::Error::other("the files of the image are larger than itself"))?;
        let mut hasher = blake3::Hasher::new();
        let whole = Run {
            at: 0,
            place: 0,
            len: size,
        };
        let pieces = if sparse { runs } else { &[whole] };
        for piece in pieces {
            let (mut at, end) = (piece.at, (piece.at + piece.len).min(size));
            if sparse {
                hasher.update(&at.to_le_bytes());
                hasher.update(&end.saturating_sub(at).to_le_bytes());
            }
            while at < end {
                let count = (end - at).min(self.buffer.len() as u64) as usize;
                let read = read_at(self.disk, runs, at, &mut self.buffer[..count])?;
                hasher.update(&self.buffer[..read]);
                at += read as u64;
            }
        }
        let digest = hasher.finalize().to_hex();
        let mark = if sparse { "~" } else { "" };
        Ok(format!("{mark}{}", &digest[..32]))
    }
}
