//! ext file systems, read by imgforge itself: an appliance without hardware acceleration reads
//! ten megabytes a second.

mod unwritten;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};

use super::parts::Volume;
use crate::error::{Context as _, Error, Result};
use crate::fstab::{FileSystem, Machine};
use crate::host::exec::Program;
use crate::host::interrupt;
use crate::scan::holes::{self, Condensed, Pieces};
use crate::scan::{FileEntry, Scanner};

struct Window {
    file: File,
    start: u64,
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.file.read_exact_at(into, self.start + at)?)
    }
}

/// Opens the file system of a partition.
///
/// # Errors
/// When it is for an appliance: it is damaged, or has what is not known here.
pub(crate) fn open(raw: &Path, start: u64) -> Result<Ext4> {
    unwritten::refuse(raw, start)?;
    let doing = || format!("reading {}", raw.display());
    let file = File::open(raw).doing(doing)?;
    let system = Ext4::load(Box::new(Window { file, start }));
    system.map_err(|cause| Error::stage("opening the file system failed").cause(cause))
}

/// Where each volume is mounted, by the fstab of the one that has one: `""` is the root, nothing
/// means nowhere.
pub(super) fn mounts(
    systems: &[(&Volume, Ext4)],
    volumes: &[Volume],
) -> HashMap<u32, Option<String>> {
    let root = systems
        .iter()
        .find(|(_, system)| system.exists("/etc/os-release").unwrap_or(false))
        .or_else(|| {
            let has_etc = |system: &Ext4| system.exists("/etc").unwrap_or(false);
            systems.iter().find(|(_, system)| has_etc(system))
        })
        .or_else(|| systems.first());
    let Some((first, root)) = root else {
        return HashMap::new();
    };
    let fstab = root.read("/etc/fstab").unwrap_or_default();
    let listed: Vec<FileSystem> = volumes.iter().map(|v| v.system.clone()).collect();
    let machine = Machine {
        systems: &listed,
        root: volumes.iter().position(|v| v == *first).unwrap_or(0),
        fstab: &String::from_utf8_lossy(&fstab),
        crypttab: "",
    };
    let layout = machine.layout(|at| is_free(root, at));
    let of = |index| {
        layout
            .at(index)
            .map(|at| at.trim_end_matches('/').to_owned())
    };
    let numbered = volumes.iter().enumerate();
    numbered.map(|(index, v)| (v.number, of(index))).collect()
}

/// Whether a directory is empty; nothing where there is none.
fn is_free(system: &Ext4, at: &str) -> Option<bool> {
    let mut items = system.read_dir(at).ok()?.flatten();
    let used = items.any(|item| !matches!(item.file_name().as_ref(), b"." | b".."));
    Some(!used)
}

/// Shows every file of the file system of a partition of `raw` to the scanner.
///
/// # Errors
/// When something of it cannot be read.
pub(crate) fn walk(
    (raw, start): (&Path, u64),
    system: &Ext4,
    at: &str,
    scanner: &mut Scanner<'_>,
) -> Result<()> {
    let mut budget = Budget::of(raw)?;
    let mut dirs = vec![ext4_view::PathBuf::new("/")];
    while let Some(dir) = dirs.pop() {
        interrupt::check()?;
        let failed = |cause: Ext4Error| {
            Error::stage(format!("reading {at}{} of the image failed", dir.display()))
                .cause(cause)
                .hint("`e2fsck -n` says whether the file system is damaged")
        };
        let items = match system.read_dir(&dir) {
            // Only whoever has its key can read it.
            Err(Ext4Error::Encrypted) => {
                let shown = format!("{at}{}", String::from_utf8_lossy(dir.as_ref()));
                scanner.unsearched(&shown, "it is an encrypted directory (fscrypt)".into());
                continue;
            }
            items => items.map_err(failed)?,
        };
        for item in items {
            let item = item.map_err(failed)?;
            let name = item.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let meta = item.metadata().map_err(failed)?;
            let path = item.path();
            let shown = format!("{at}{}", String::from_utf8_lossy(path.as_ref()));
            let owner = (meta.uid(), meta.gid());
            let size = meta.len();
            let mode = type_bits(meta.file_type()) | u32::from(meta.mode()) & 0o7777;
            let mut entry = FileEntry::new(shown, mode, owner, size);
            if meta.is_dir() {
                budget.dir(size, &path)?;
                scanner.take(&entry, &mut io::empty())?;
                dirs.push(path);
            } else if meta.file_type().is_regular_file() {
                let mut file = system.open(&path).map_err(failed)?;
                let pieces = (size >= holes::WORTH)
                    .then(|| pieces(raw, start, path.as_ref(), size))
                    .flatten();
                budget.file(size - pieces.as_ref().map_or(0, Pieces::saved), &path)?;
                match &pieces {
                    Some(pieces) => {
                        let mut data = Condensed::new(pieces, |at, into: &mut [u8]| {
                            read_at(&mut file, at, into)
                        });
                        scanner.take_pieces(&entry, Some(pieces), &mut data)?;
                    }
                    None => scanner.take(&entry, &mut Content(file))?,
                }
            } else {
                entry.size = 0;
                scanner.take(&entry, &mut io::empty())?;
            }
        }
    }
    Ok(())
}

/// How many bytes of a file system may still be read. Its files can have several names, but they have
/// no end where a directory is in itself, and ext4-view does not say of which inode a name is.
struct Budget {
    dirs: u64,
    files: u64,
}

impl Budget {
    /// How often all of the disk may be read: files of more names are for the appliance, where each
    /// is read once.
    const TIMES: u64 = 4;

    /// What a file system of the host that compresses may have more than it has stored, in bytes.
    const LEAST: u64 = 64 << 20;

    /// What a directory takes at least, in bytes.
    const DIRECTORY: u64 = 1024;

    /// Files may be zeroes, of which nothing is stored; directories are not, and have one name.
    fn of(raw: &Path) -> Result<Self> {
        let meta = std::fs::metadata(raw).doing(|| format!("reading {}", raw.display()))?;
        Ok(Budget {
            dirs: meta.len().min(meta.blocks() * 512 + Self::LEAST),
            files: meta.len().saturating_mul(Self::TIMES),
        })
    }

    fn dir(&mut self, bytes: u64, path: &ext4_view::PathBuf) -> Result<()> {
        take(&mut self.dirs, bytes.max(Self::DIRECTORY), path)
    }

    fn file(&mut self, bytes: u64, path: &ext4_view::PathBuf) -> Result<()> {
        take(&mut self.files, bytes, path)
    }
}

fn take(left: &mut u64, bytes: u64, path: &ext4_view::PathBuf) -> Result<()> {
    *left = left.checked_sub(bytes).ok_or_else(|| {
        let what = "the files of the image are larger than itself";
        Error::stage(what).cause(format!(
            "at {} a directory may be in itself",
            path.display()
        ))
    })?;
    Ok(())
}

fn read_at(file: &mut ext4_view::File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    if file.position() != at {
        file.seek_to(at).map_err(io::Error::other)?;
    }
    file.read_bytes(into).map_err(io::Error::other)
}

/// The program that says what an ext that begins there has.
pub(super) fn debugfs(raw: &Path, start: u64, request: &str) -> Program {
    let image = format!("{}?offset={start}", raw.display());
    let debugfs = Program::new("debugfs").args(["-R", request, &image]);
    debugfs.on_foreign_file().seeing(raw)
}

/// Where a large file has data, as debugfs knows it; nothing where it has few holes, or a name
/// that debugfs cannot be told.
fn pieces(raw: &Path, start: u64, path: &[u8], size: u64) -> Option<Pieces> {
    let name = std::str::from_utf8(path).ok()?;
    if name.contains(['"', '\n', '\r']) {
        return None;
    }
    let ask = |request: String| debugfs(raw, start, &request).text().ok();
    let block = ask("stats -h".into())?
        .lines()
        .find_map(|line| line.strip_prefix("Block size:")?.trim().parse().ok())?;
    let pieces = Pieces::new(size, runs(&ask(format!("stat \"{name}\""))?, block)?);
    (pieces.saved() >= holes::WORTH).then_some(pieces)
}

/// The places with data in what debugfs says about a file, in bytes: `(0-11):34-45, (IND):46`.
fn runs(stat: &str, block: u64) -> Option<Vec<std::ops::Range<u64>>> {
    let mut lines = stat.lines();
    lines.find(|line| matches!(line.trim(), "EXTENTS:" | "BLOCKS:"))?;
    let text: String = lines
        .take_while(|line| !line.starts_with("TOTAL"))
        .collect();
    let mut all = vec![];
    for part in text.split('(').skip(1) {
        let (blocks, _) = part.split_once(')')?;
        let (first, last) = blocks.split_once('-').unwrap_or((blocks, blocks));
        // Blocks that hold the numbers of others have a word here, unwritten ones a letter.
        let number = |text: &str| text.trim_end_matches("[u]").parse::<u64>().ok();
        if let (Some(first), Some(last)) = (number(first), number(last)) {
            all.push(first * block..last.checked_add(1)?.checked_mul(block)?);
        }
    }
    all.sort_by_key(|run| run.start);
    Some(all)
}

/// The type as stat(2) has it.
fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::Regular => 0o100_000,
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        FileType::BlockDevice => 0o060_000,
        FileType::CharacterDevice => 0o020_000,
        FileType::Fifo | FileType::Socket => 0o010_000,
    }
}

struct Content(ext4_view::File);

impl io::Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_bytes(buffer).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Subject;

    /// Two ways into itself at each level: a walk that only paths bound has 2 to the thousandth steps.
    #[test]
    fn a_directory_that_is_in_itself_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, tree) = (dir.path().join("disk"), dir.path().join("tree"));
        std::fs::create_dir_all(tree.join("d")).unwrap();
        std::fs::write(tree.join("d/file"), vec![b'x'; 100_000]).unwrap();
        File::create(&disk).unwrap().set_len(4 << 20).unwrap();
        let make = Program::new("mke2fs").args(["-q", "-t", "ext4", "-d"]);
        make.arg(&tree).arg(&disk).run().unwrap();
        let subject = Subject::default();
        let mut files = 0;
        for again in ["", "ln /d /d/one", "ln /d /d/two"] {
            let link = Program::new("debugfs").args(["-w", "-R", again]).arg(&disk);
            link.run().unwrap();
            let mut scanner = Scanner::new(&subject);
            let walked = walk((&disk, 0), &open(&disk, 0).unwrap(), "", &mut scanner);
            assert_eq!(walked.is_err(), !again.is_empty(), "{again}: {walked:?}");
            files = scanner.finish().files;
        }
        // The bytes of all of these are four times those of the disk.
        assert!((100..20_000).contains(&files), "{files}");
        // A swap file of zeroes takes nothing of a sparse disk.
        let sparse = dir.path().join("sparse");
        File::create(&sparse).unwrap().set_len(1 << 30).unwrap();
        let (mut budget, swap) = (
            Budget::of(&sparse).unwrap(),
            ext4_view::PathBuf::new("/swap"),
        );
        budget.file(1 << 30, &swap).unwrap();
        budget.dir(1 << 20, &swap).unwrap();
        assert!(budget.dir(65 << 20, &swap).is_err() && budget.file(4 << 30, &swap).is_err());
    }

    #[test]
    fn places_with_data_are_read_from_what_debugfs_says() {
        let extents = "Inode: 13\nEXTENTS:\n(ETB0):99, (0-1):10-11, (8):20, (16-17[u]):30-31\n";
        assert_eq!(
            runs(extents, 1024),
            Some(vec![0..2048, 8192..9216, 16384..18432])
        );
        let blocks = "BLOCKS:\n(0-11):24-35, (IND):36, \n(300):37\nTOTAL: 14\n";
        assert_eq!(runs(blocks, 1024), Some(vec![0..12288, 307_200..308_224]));
        assert_eq!(runs("Inode: 13", 1024), None);
        assert_eq!(runs("EXTENTS:\n", 1024), Some(vec![]));
    }
}
